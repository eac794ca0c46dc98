"""How long NumPyro takes to trace, lower and compile a step, by the number of independent sites.

Run by hand, on one thread: ``python -m tests.benchmarks.bench_compile``. A step is one of stock SVI
on the program of ``scaling``, with a hundred latents a site, or the same in plain JAX. Seconds are
the processor's, medians of some runs; the last columns are their sum, and that over
``TraceGraph_ELBO``'s of the same size.
"""

import os

if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    os.environ.setdefault(
        "XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
    )

import argparse
import time
from typing import Any

import jax
import numpy as np
import numpyro
from numpyro.infer import SVI

from tests.benchmarks import chains_jax, scaling, table
from tests.benchmarks.bench_scaling_numpyro import ELBOS, program

BY_HAND = " by hand"
ESTIMATORS = (scaling.BASE, "score", "DisARM", "REBAR", f"score{BY_HAND}", f"REBAR{BY_HAND}")


def step(estimator: str, case: scaling.Case) -> tuple[Any, Any, Any]:
    """Returns a step, its first state and its data."""
    x = np.zeros((case.sites, case.rows, case.latents), np.float32)
    if estimator.endswith(BY_HAND):
        return *chains_jax.make_step(case, estimator.removesuffix(BY_HAND)), x
    elbo = ELBOS[estimator](num_particles=1)
    model, guide = program(case)
    if estimator != scaling.BASE:
        guide = elbo.prepare(guide)
    svi = SVI(model, guide, numpyro.optim.Adam(1e-3), elbo)
    return svi.update, svi.init(jax.random.key(0), x), x


def seconds(estimator: str, sites: int) -> list[float]:
    """Returns how long it takes to trace, to lower and to compile a step."""
    run, state, x = step(estimator, scaling.Case(sites=sites))
    clock = [time.process_time()]
    traced = jax.jit(run).trace(state, x)
    clock.append(time.process_time())
    lowered = traced.lower()
    clock.append(time.process_time())
    lowered.compile()
    clock.append(time.process_time())
    return np.diff(clock).tolist()


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sites", type=int, nargs="+", default=[1, 4, 16, 64])
    parser.add_argument("--only", nargs="+", choices=ESTIMATORS, default=list(ESTIMATORS))
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--write", action="store_true", help="keep the table in docs/benchmarks")
    options = parser.parse_args()
    # The first compilation of a process pays for more than itself.
    seconds(scaling.BASE, 1)
    names = list(dict.fromkeys([scaling.BASE, *options.only]))
    rows = []
    for sites in options.sites:
        base = 0.0
        for name in names:
            parts = np.median([seconds(name, sites) for _ in range(options.runs)], axis=0)
            base = base or sum(parts)
            rows.append([f"{sites} sites, {name}", *(f"{s:.2f}" for s in (*parts, sum(parts)))])
            rows[-1].append(f"{sum(parts) / base:.2f}")
            print(rows[-1], flush=True)
    text = table.markdown(["", "trace", "lower", "compile", "all, s", "TraceGraph = 1"], rows)
    print(text)
    if options.write:
        table.write("compile", text)


if __name__ == "__main__":
    main()
