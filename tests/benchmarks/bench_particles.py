"""Particles a few at a time: a step with 100,000 binary latents by ``vectorize_particles``.

Run by hand, on one thread: ``python -m tests.benchmarks.bench_particles``. The program is that of
``scaling`` with one site. Steps take turns within the process, on the processor's clock; times are
relative to all particles at once, and that one's are in ms.
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

import numpy as np
import torch

from tests.benchmarks import bench_scaling_numpyro, bench_scaling_pyro, scaling, table

CLASSES = ("RLOO_ELBO", "VIMCO_ELBO")
AT_ONCE = "all"
HOSTS = {"NumPyro": bench_scaling_numpyro, "Pyro": bench_scaling_pyro}


def elbo(module: Any, name: str, together: Any) -> Any:
    """Returns a function that makes an ELBO of so many particles at a time."""
    nesting = {"max_plate_nesting": 1} if module is bench_scaling_pyro else {}
    how = True if together == AT_ONCE else together

    def make(num_particles: int, **kwargs: Any) -> Any:
        return getattr(module.rx, name)(num_particles, vectorize_particles=how, **nesting)

    return make


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--turns", type=int, default=9)
    parser.add_argument("--particles", type=int, default=16)
    parser.add_argument("--latents", type=int, default=100_000)
    parser.add_argument("--hosts", nargs="+", choices=HOSTS, default=list(HOSTS))
    parser.add_argument("--write", action="store_true", help="keep the table in docs/benchmarks")
    options = parser.parse_args()
    torch.set_num_threads(1)
    batches = [AT_ONCE, *(2**k for k in range(options.particles.bit_length() - 1))]
    case = scaling.Case(latents=options.latents, particles=options.particles)
    rows = []
    for module in map(HOSTS.__getitem__, options.hosts):
        host = module.host()
        for name in CLASSES:
            module.ELBOS.update({f"{name} {n}": elbo(module, name, n) for n in batches})
            ready = {n: host.start(f"{name} {n}", case, host.cpu) for n in batches}
            times = scaling.take_turns(ready, options.turns, time.process_time, 0.02)
            base = times[AT_ONCE]
            cells = [table.spread(times[n] / base) for n in batches[1:]]
            rows.append([f"{host.name} {name}", f"{1e3 * np.median(base):.1f}", *cells])
            print(rows[-1], flush=True)
    header = ["", f"all {options.particles}, ms", *(f"{n} at a time" for n in batches[1:])]
    text = table.markdown(header, rows)
    print(text)
    if options.write:
        table.write("particles", text)


if __name__ == "__main__":
    main()
