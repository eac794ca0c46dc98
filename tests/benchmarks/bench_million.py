"""A step with a hundred to a million binary latents on both hosts: its time, and its memory.

Run by hand: ``python -m tests.benchmarks.bench_million``. Each estimator on each host has a process
of its own, on one thread, that takes steps of stock SVI on the program of ``scaling`` with one
site; memory is the most that the process ever held (``ru_maxrss``), Python and the host included.
Times are the processor's, the median of so many steps, in ms.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import resource
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

from tests.benchmarks import table
from tests.benchmarks.scaling import Case, exponents

SIZES = (100, 1_000, 10_000, 100_000, 1_000_000)
ESTIMATORS = ("TraceGraph", "score", "RLOO", "DisARM", "REBAR", "RELAX")
HOSTS = ("NumPyro", "Pyro")
THREADS = {
    "OMP_NUM_THREADS": "1",
    "JAX_PLATFORMS": "cpu",
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1",
}


def measure(host: str, estimator: str, steps: int) -> None:
    """Prints the median time of a step at each size, and the peak memory of this process."""
    # Either host without the other: a process is to hold what a user's does.
    module = importlib.import_module(f"tests.benchmarks.bench_scaling_{host.lower()}")
    there, times = module.host(), {}
    for size in SIZES:
        step = there.start(estimator, Case(latents=size), there.cpu)
        step.run(2)
        each = []
        for _ in range(steps):
            begin = time.process_time()
            step.run(1)
            each.append(time.process_time() - begin)
        times[size] = sorted(each)[len(each) // 2]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps([times, peak]))


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=9)
    parser.add_argument("--of", nargs=2, help="a host and an estimator, measured in this process")
    parser.add_argument("--write", action="store_true", help="keep the table in docs/benchmarks")
    parser.add_argument("--going-on", help="a file of what is measured so far, not done again")
    options = parser.parse_args()
    if options.of:
        measure(*options.of, options.steps)
        return
    kept = Path(options.going_on) if options.going_on else None
    known = json.loads(kept.read_text()) if kept and kept.exists() else {}
    rows = []
    for host in HOSTS:
        for estimator in ESTIMATORS:
            name = f"{host} {estimator}"
            if name not in known:
                called = [sys.executable, "-m", "tests.benchmarks.bench_million"]
                called += ["--steps", str(options.steps), "--of", host, estimator]
                env = {**os.environ, **THREADS}
                done = subprocess.run(called, env=env, capture_output=True, text=True, check=True)
                known[name] = json.loads(done.stdout.splitlines()[-1])
                if kept:
                    kept.write_text(json.dumps(known))
            times, peak = known[name]
            overall, last = exponents(SIZES, times.values())
            shown = [f"{1e3 * seconds:.3g}" for seconds in times.values()]
            rows.append([name, *shown, f"{overall:.2f}", f"{last:.2f}"])
            rows[-1].append(f"{peak / 2**30:.2f}")
            print(rows[-1], flush=True)
    header = ["", *(f"{size:,}" for size in SIZES), "exponent", "of the last two", "GiB"]
    text = table.markdown(header, rows)
    print(text)
    if options.write:
        # The hosts are imported in the other processes alone.
        of = {"NumPyro": "numpyro", "JAX": "jax", "Pyro": "pyro-ppl", "torch": "torch"}
        table.write("million", text, {n: version(known) for n, known in of.items()})


if __name__ == "__main__":
    main()
