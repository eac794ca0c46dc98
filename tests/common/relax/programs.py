"""Programs of one site, and what stands at it once they are relaxed."""

from __future__ import annotations

from typing import Any


def one_site(host, distribution):
    def model():
        return host.sample("z", distribution)

    return model


def stands(host, distribution, **options):
    program = host.rx.relax(one_site(host, distribution), **({"temperature": 0.5} | options))
    return host.trace(program)["z"]


def law(site: dict[str, Any]) -> str:
    """The class at a site, inside the hosts' wrappers."""
    fn = site["fn"]
    while hasattr(fn, "base_dist") and type(fn).__name__ in (
        "Independent",
        "ExpandedDistribution",
        "_Expanded",
        "MaskedDistribution",
    ):
        fn = fn.base_dist
    return type(fn).__name__
