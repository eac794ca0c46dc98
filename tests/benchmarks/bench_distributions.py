"""Constructor, sample and backward pass of every relaxation, against plain code for its law.

Run by hand, on one thread: ``python -m tests.benchmarks.bench_distributions``. 1e5 elements in
float32: scalars of shape (1e5,), vectors (1e4, 10). The plain programs are the fewest operations
that draw the same law, with gradients, and never leave its support; on JAX both are compiled. On
Pyro the constructor validates, as is the host's default, and once more without. With
``--relaxit-python``, an interpreter that imports relaxit 1.2 beside this library, its classes are
timed there in turn with ours.

The times are the process's own, which a busy machine does not count in, and the programs take
turns. The figures are the median time and the least, the median and the greatest over turns of the
time relative to the first's.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault(
    "XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
)

import argparse
import subprocess
import sys
import time
from collections.abc import Callable

import numpy as np

Run = Callable[[], None]


def seconds(runs: list[Run], turns: int) -> np.ndarray:
    """The time of each run in each turn, (turns, runs); the first turns warm up."""
    out = []
    for turn in range(turns + 2):
        # Every other turn backwards: none is always the one after a slow one.
        order = range(len(runs))[:: 1 if turn % 2 else -1]
        times = [0.0] * len(runs)
        for i in order:
            begin = time.process_time()
            runs[i]()
            times[i] = time.process_time() - begin
        out.append(times)
    return np.array(out[2:])


def line(name: str, times: np.ndarray) -> str:
    """One row: the time of the first, and what each other takes relative to it."""
    cells = []
    for other in times[:, 1:].T:
        ratio = other / times[:, 0]
        cells.append(f"{ratio.min():6.2f}{np.median(ratio):6.2f}{ratio.max():7.2f}")
    return f"{name:42s}{1e3 * np.median(times[:, 0]):8.2f}   " + "   ".join(cells)


def header(base: str, others: list[str]) -> str:
    columns = "   ".join(f"{o + ', x min/med/max':>19s}" for o in others)
    return f"{base + ', ms':>50s}   {columns}"


def bench_pyro(turns: int, only: list[str] | None) -> None:
    from tests.benchmarks import distributions_torch as programs

    programs.torch.set_num_threads(1)
    checked, unchecked = programs.ours(None), programs.ours(False)
    print("\nPyro\n" + header("plain torch", ["ours", "unchecked"]))
    for name, plain in programs.PLAIN.items():
        if not only or name in only:
            runs = [programs.timed(p) for p in (plain, checked[name], unchecked[name])]
            print(line(name, seconds(runs, turns)), flush=True)


def bench_numpyro(turns: int, only: list[str] | None) -> None:
    from tests.benchmarks import distributions_jax as programs

    made = programs.ours()
    print("\nNumPyro\n" + header("plain JAX", ["ours"]))
    for name, plain in programs.PLAIN.items():
        if not only or name in only:
            runs = [programs.timed(name, p) for p in (plain, made[name])]
            print(line(name, seconds(runs, turns)), flush=True)


def bench_relaxit(turns: int, only: list[str] | None) -> None:
    from tests.benchmarks import distributions_relaxit, distributions_torch

    distributions_torch.torch.set_num_threads(1)
    made = distributions_torch.ours(None)
    print("\nrelaxit\n" + header("relaxit", ["ours"]))
    for name, theirs in distributions_relaxit.programs().items():
        if not only or name in only:
            runs = [distributions_torch.timed(p) for p in (theirs, made[name])]
            print(line(name, seconds(runs, turns)), flush=True)


BENCHES = {"pyro": bench_pyro, "numpyro": bench_numpyro, "relaxit": bench_relaxit}


def main() -> None:
    """Print a table for each host, and one against relaxit where an interpreter has it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--turns", type=int, default=31)
    parser.add_argument("--only", nargs="+", metavar="CLASS")
    parser.add_argument("--hosts", nargs="+", choices=BENCHES, default=["pyro", "numpyro"])
    parser.add_argument("--relaxit-python", metavar="PATH", help="an interpreter with relaxit 1.2")
    options = parser.parse_args()
    for host in options.hosts:
        BENCHES[host](options.turns, options.only)
    if options.relaxit_python:
        command = [options.relaxit_python, "-m", __spec__.name, "--hosts", "relaxit"]
        command += ["--turns", str(options.turns)]
        command += ["--only", *options.only] if options.only else []
        subprocess.run(command, check=True)
    sys.stdout.flush()


if __name__ == "__main__":
    main()
