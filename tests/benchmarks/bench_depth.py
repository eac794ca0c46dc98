"""What ``depth`` costs and saves: time against the levels of a chain on both hosts, and variance.

Run by hand, on one thread: ``python -m tests.benchmarks.bench_depth``. Times are of steps of stock
SVI on the chains of ``scaling``, whose levels each feed the next alone, in turns. The variance is
that of NumPyro's gradients in the guide's parameters at fixed random ones, summed over these, on a
chain of eight levels of ten binary latents with random weights, ten rows, and an observation of the
last level or of every level; ``depth=None``'s is 1. The last columns multiply it by the time of
eight levels.
"""

import os

if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    os.environ.setdefault(
        "XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
    )

import argparse
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import torch

import relaxppl.numpyro as rx
import relaxppl.pyro as rx_pyro
from tests.benchmarks import bench_scaling_numpyro, bench_scaling_pyro, scaling, table

DEPTHS: dict[str, Any] = {
    "REBAR": {},
    "REBAR, depth 2": {"depth": 2},
    "REBAR, depth 1": {"depth": 1},
    "REBAR, depth 0": {"depth": 0},
}
LINEAR = (scaling.BASE, "REBAR, depth 1", "REBAR, depth 0")
LEVELS, LATENTS, ROWS = 8, 10, 10


def chain(everywhere: bool) -> tuple[Any, Any]:
    """Returns a model and a guide whose levels each feed the next alone."""
    rng = np.random.default_rng(0)
    weights = jnp.asarray(rng.normal(size=(2, LEVELS, LATENTS, LATENTS)), jnp.float32)
    data = jnp.asarray(rng.normal(size=(LEVELS, ROWS, LATENTS)), jnp.float32)

    def sites(where: int) -> list[Any]:
        z: list[Any] = []
        for level in range(LEVELS):
            weight = weights[where, level]
            if where:
                weight = numpyro.param(f"weight.{level}", weight)
            above = z[-1] - 0.5 if z else jnp.full((ROWS, LATENTS), 0.5)
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


def variance(options: dict[str, Any], everywhere: bool, draws: int) -> float:
    """Returns the summed variance of a gradient."""
    model, guide = chain(everywhere)
    elbo = rx.REBAR_ELBO(learn=False, **options)
    seeded = numpyro.handlers.seed(guide, 0)
    trace = numpyro.handlers.trace(seeded).get_trace()
    params = {n: site["value"] for n, site in trace.items() if site["type"] == "param"}

    def one(key: Any) -> Any:
        return jax.grad(lambda p: elbo.loss(key, p, model, guide))(params)

    samples = jax.jit(jax.vmap(one))(jax.random.split(jax.random.key(0), draws))
    return float(sum(jnp.sum(jnp.var(x, 0)) for x in samples.values()))


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--turns", type=int, default=9)
    parser.add_argument("--draws", type=int, default=4_000)
    parser.add_argument("--levels", type=int, nargs="+", default=[2, 4, 8])
    parser.add_argument("--longest", type=int, default=16, help="levels of the linear ones")
    parser.add_argument("--write", action="store_true", help="keep the tables in docs/benchmarks")
    options = parser.parse_args()
    torch.set_num_threads(1)
    kept = {n: o for n, o in DEPTHS.items() if n != "REBAR"}
    elbos = {n: lambda num_particles, o=o: rx.REBAR_ELBO(**o) for n, o in kept.items()}
    bench_scaling_numpyro.ELBOS.update(elbos)
    elbos = {n: lambda num_particles, o=o: rx_pyro.REBAR_ELBO(**o) for n, o in kept.items()}
    bench_scaling_pyro.ELBOS.update(elbos)
    names = (scaling.BASE, *DEPTHS)
    parts, seconds = [], {}
    for module, latents in ((bench_scaling_numpyro, 10_000), (bench_scaling_pyro, 10_000)):
        host = module.host()
        base = scaling.Case(latents=latents)
        sweep = scaling.Sweep("Levels", "levels", tuple(options.levels), base, names)
        found = scaling.measure(host, sweep, False, options.turns, 0.02)
        # What grows with the square of the levels takes minutes to compile there.
        longer = sweep._replace(sizes=(options.longest,), estimators=LINEAR)
        for name, of in scaling.measure(host, longer, False, options.turns, 0.02).items():
            found[name].update(of)
        parts += [f"### {host.name}", scaling.section(sweep, found)]
        of = {n: found[n][LEVELS].seconds for n in DEPTHS}
        seconds[host.name] = {n: float(np.median(s / of["REBAR"])) for n, s in of.items()}
    rows = []
    ends, each = ({n: variance(o, e, options.draws) for n, o in DEPTHS.items()} for e in (0, 1))
    for name in DEPTHS:
        row = [of[name] / of["REBAR"] for of in (ends, each)]
        times = [v * seconds[host][name] for v in row for host in seconds]
        rows.append([name, *(f"{x:.2f}" for x in (*row, *times))])
    header = ["variance", "observed last", "everywhere"]
    header += [f"{w}, times {host}'s time" for w in header[1:] for host in seconds]
    parts += ["### Variance", table.markdown(header, rows)]
    text = "\n\n".join(parts)
    print(text)
    if options.write:
        table.write("depth", text)


if __name__ == "__main__":
    main()
