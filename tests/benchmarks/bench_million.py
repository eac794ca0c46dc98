"""A step with a hundred to a million binary latents on both hosts: its time, and its memory.

Run by hand: ``python -m tests.benchmarks.bench_million``. Each estimator on each host has a process
of its own, on one thread, that takes steps of stock SVI on the program of ``scaling`` with one
site; memory is the most that the process ever held (``ru_maxrss``), Python and the host included.
Times are the processor's, the median of so many steps, in ms.
"""

from __future__ import annotations

import argparse
import functools
import importlib
import resource
from importlib.metadata import version
from typing import Any

from tests.benchmarks import table, turns
from tests.benchmarks.going_on import GoingOn
from tests.benchmarks.scaling import Case, exponents

SIZES = (100, 1_000, 10_000, 100_000, 1_000_000)
ESTIMATORS = ("TraceGraph", "score", "RLOO", "DisARM", "REBAR", "RELAX")
HOSTS = {"NumPyro": "numpyro", "JAX": "jax", "Pyro": "pyro-ppl", "torch": "torch"}
"""The packages whose versions are given: they are imported in the parts' processes alone."""


def measure(options: Any, host: str, estimator: str) -> Any:
    """Returns the median time of a step at each size, and the peak memory of this process."""
    # Either host without the other: a process is to hold what a user's does.
    there = importlib.import_module(f"tests.benchmarks.bench_scaling_{host.lower()}").host()
    times = {}
    for size in SIZES:
        step = there.start(estimator, Case(latents=size), there.cpu)
        times[size] = turns.median(functools.partial(step.run, 1), options.steps)
    return times, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=9)
    parser.add_argument("--write", action="store_true", help="keep the table in docs/benchmarks")
    parts = GoingOn(parser, measure)
    rows = []
    for host in ("NumPyro", "Pyro"):
        for estimator in ESTIMATORS:
            times, peak = parts.found(host, estimator)
            overall, last = exponents(SIZES, times.values())
            shown = [f"{1e3 * seconds:.3g}" for seconds in times.values()]
            rows.append([f"{host} {estimator}", *shown, f"{overall:.2f}", f"{last:.2f}"])
            rows[-1].append(f"{peak / 2**30:.2f}")
            print(rows[-1], flush=True)
    header = ["", *(f"{size:,}" for size in SIZES), "exponent", "of the last two", "GiB"]
    text = table.markdown(header, rows)
    print(text)
    if parts.options.write:
        table.write("million", text, {name: version(package) for name, package in HOSTS.items()})


if __name__ == "__main__":
    main()
