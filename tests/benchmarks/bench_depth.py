"""What ``depth`` saves and costs: time against the levels of a chain on both hosts, and variance.

Run by hand: ``python -m tests.benchmarks.bench_depth``. Each estimator on each host has a process
of its own, on one thread, that takes steps of stock SVI on chains of ``scaling``, whose levels each
feed the next alone; chains of all lengths take turns, and times are the processor's, the median of
the turns. The levels have so many latents that most of a step is arithmetic. The variance is that
of NumPyro's gradients in the guide's parameters at fixed random ones, summed over these, on a chain
of eight levels of ten binary latents with random weights, ten rows, and an observation of the last
level or of every level; ``depth=None``'s is 1.
"""

from __future__ import annotations

import argparse
import functools
import importlib
from importlib.metadata import version
from typing import Any

import numpy as np

from tests.benchmarks import scaling, table, turns
from tests.benchmarks.going_on import GoingOn

DEPTHS = {"REBAR": None, "REBAR, depth 2": 2, "REBAR, depth 1": 1, "REBAR, depth 0": 0}
TIMED = {
    scaling.BASE: (4, 8, 16, 32),
    "REBAR, depth 0": (4, 8, 16, 32),
    "REBAR, depth 1": (4, 8, 16, 32),
    # What grows with the square of the levels takes minutes to compile beyond.
    "REBAR": (4, 8),
}
"""How many levels each is timed at."""
LATENTS = {"NumPyro": 10_000, "Pyro": 100_000}
"""Of a level: a step of Pyro's is longer before arithmetic counts in it."""
LEVELS, UNITS, ROWS = 8, 10, 10
"""Of the chain whose variance is measured."""
OBSERVED = ("last", "every")
HOSTS = {"NumPyro": "numpyro", "JAX": "jax", "Pyro": "pyro-ppl", "torch": "torch"}
"""The packages whose versions are given: they are imported in the parts' processes alone."""


def measure(options: Any, what: str, name: str) -> dict[int, float] | dict[str, float]:
    """Returns a step's median time by levels, or a variance by what is observed."""
    if what == "variance":
        return {of: variance(DEPTHS[name], of == "every", options.draws) for of in OBSERVED}
    module = importlib.import_module(f"tests.benchmarks.bench_scaling_{what.lower()}")
    if name in DEPTHS:
        module.ELBOS[name] = functools.partial(module.ELBOS["REBAR"], depth=DEPTHS[name])
    there = module.host()
    cases = {
        levels: scaling.Case(options.latents or LATENTS[what], levels=levels)
        for levels in TIMED[name]
    }
    steps = [there.start(name, case, there.cpu).run for case in cases.values()]
    seconds = turns.seconds([functools.partial(step, 1) for step in steps], options.turns)
    return dict(zip(cases, np.median(seconds, axis=0).tolist(), strict=True))


def chain(everywhere: bool) -> tuple[Any, Any]:
    """Returns a model and a guide for NumPyro whose levels each feed the next alone."""
    import jax.numpy as jnp
    import numpyro
    import numpyro.distributions as dist

    rng = np.random.default_rng(0)
    weights = jnp.asarray(rng.normal(size=(2, LEVELS, UNITS, UNITS)), jnp.float32)
    data = jnp.asarray(rng.normal(size=(LEVELS, ROWS, UNITS)), jnp.float32)

    def sites(where: int) -> list[Any]:
        z: list[Any] = []
        for level in range(LEVELS):
            weight = weights[where, level]
            if where:
                weight = numpyro.param(f"weight.{level}", weight)
            above = z[-1] - 0.5 if z else jnp.full((ROWS, UNITS), 0.5)
            law = dist.Bernoulli(logits=above @ weight).to_event(1)
            z.append(numpyro.sample(f"z.{level}", law))
        return z

    def model() -> None:
        with numpyro.plate("rows", ROWS):
            z = sites(0)
            for level in range(LEVELS):
                if everywhere or level == LEVELS - 1:
                    law = dist.Normal(z[level] @ weights[0, level], 1.0).to_event(1)
                    numpyro.sample(f"x.{level}", law, obs=data[level])

    def guide() -> None:
        with numpyro.plate("rows", ROWS):
            sites(1)

    return model, guide


def variance(depth: int | None, everywhere: bool, draws: int) -> float:
    """Returns the summed variance of a gradient."""
    import jax
    import jax.numpy as jnp
    import numpyro

    import relaxppl.numpyro as rx

    model, guide = chain(everywhere)
    elbo = rx.REBAR_ELBO(learn=False, depth=depth)
    seeded = numpyro.handlers.seed(guide, 0)
    trace = numpyro.handlers.trace(seeded).get_trace()
    params = {n: site["value"] for n, site in trace.items() if site["type"] == "param"}

    def one(key: Any) -> Any:
        return jax.grad(lambda p: elbo.loss(key, p, model, guide))(params)

    samples = jax.jit(jax.vmap(one))(jax.random.split(jax.random.key(0), draws))
    return float(sum(jnp.sum(jnp.var(x, 0)) for x in samples.values()))


def times(parts: GoingOn, host: str) -> str:
    """Returns the table of a host's times."""
    sizes = TIMED[scaling.BASE]
    rows = []
    for name, levels in TIMED.items():
        seconds = list(parts.found(host, name).values())
        overall, last = scaling.exponents(levels, seconds)
        shown: list[str | None] = [f"{1e3 * s:.3g}" for s in seconds]
        shown += [None] * (len(sizes) - len(levels))
        a_level = 1e3 * (seconds[-1] - seconds[-2]) / (levels[-1] - levels[-2])
        rows.append([name, *shown, f"{a_level:.3g}", f"{overall:.2f}", f"{last:.2f}"])
        print(host, rows[-1], flush=True)
    header = ["", *(f"{of} levels, ms" for of in sizes), "one level more, ms"]
    text = table.markdown([*header, "exponent", "of the last two"], rows)
    return f"{host}, {parts.options.latents or LATENTS[host]:,} latents a level:\n\n{text}"


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--turns", type=int, default=25)
    parser.add_argument("--latents", type=int, help="of a level, in place of each host's own")
    parser.add_argument("--draws", type=int, default=4_000)
    parser.add_argument("--write", action="store_true", help="keep the tables in docs/benchmarks")
    parts = GoingOn(parser, measure)
    tables = [times(parts, host) for host in LATENTS]
    rows = []
    for name in DEPTHS:
        found, whole = parts.found("variance", name), parts.found("variance", "REBAR")
        rows.append([name, *(f"{found[of] / whole[of]:.2f}" for of in OBSERVED)])
    header = ["variance", *(f"{of} level observed" for of in OBSERVED)]
    tables.append(f"{LEVELS} levels of {UNITS} latents:\n\n{table.markdown(header, rows)}")
    text = "\n\n".join(tables)
    print(text)
    if parts.options.write:
        table.write("depth", text, {name: version(package) for name, package in HOSTS.items()})


if __name__ == "__main__":
    main()
