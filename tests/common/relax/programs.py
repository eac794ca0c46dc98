"""Programs of one site, and what stands at it once they are relaxed."""

from __future__ import annotations


def one_site(host, distribution):
    def model():
        return host.sample("z", distribution)

    return model


def stands(host, distribution, **options):
    program = host.rx.relax(one_site(host, distribution), **({"temperature": 0.5} | options))
    return host.trace(program)["z"]
