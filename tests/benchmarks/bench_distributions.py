"""Every relaxation against plain code for its law, the hosts' own classes and relaxit's.

Run by hand, on one thread: ``python -m tests.benchmarks.bench_distributions``. 1e5 elements in
float32: scalars of shape (1e5,), vectors (1e4, 10). Against plain code, and against relaxit 1.2:
constructor, sample and backward pass. The plain programs are the fewest operations that draw the
same law, with gradients, and never leave its support; on JAX both are compiled. On Pyro the
constructor validates, as is the host's default, and once more without. Against the hosts' own
classes the density of the sample is computed too. With ``--relaxit-python``, an interpreter that
imports relaxit and Pyro, relaxit's classes are timed there in turn with ours.

The times are the process's own, which a busy machine does not count in, and the programs take
turns. The figures are the median time and, of the time relative to the contender's over the turns,
the median, the least and the greatest: above 1 ours is the slower.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault(
    "XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
)

import argparse
import subprocess
from collections.abc import Callable, Iterable, Iterator
from importlib.metadata import version
from typing import Any

import numpy as np

from tests.benchmarks import table, turns

Contest = tuple[str, list[turns.Run]]
"""A class and its programs: the contender's first."""


def rows(contests: Iterable[Contest], options: argparse.Namespace) -> Iterator[list[str]]:
    """For each class the contender's time, and ours relative to it."""
    for name, runs in contests:
        if options.only and name.removesuffix(", unchecked") not in options.only:
            continue
        times = turns.seconds(runs, options.turns, at_least=0.01)
        ratios = [table.spread(other / times[:, 0]) for other in times[:, 1:].T]
        yield [name, f"{1e3 * np.median(times[:, 0]):.2f}", *ratios]


def against_plain_torch() -> Iterator[Contest]:
    from tests.benchmarks import distributions_torch as programs
    from tests.benchmarks import structured_torch as structured

    both = (structured.constructors(v) | programs.constructors(v) for v in (None, False))
    checked, unchecked = ({n: programs.drawn(make) for n, make in m.items()} for m in both)
    for name, plain in (programs.PLAIN | structured.PLAIN).items():
        yield name, [programs.timed(p) for p in (plain, checked[name], unchecked[name])]


def against_plain_jax() -> Iterator[Contest]:
    from tests.benchmarks import distributions_jax as programs
    from tests.benchmarks import structured_jax as structured

    made = structured.constructors() | programs.constructors()
    for name, plain in (programs.PLAIN | structured.PLAIN).items():
        ours = programs.drawn(made[name])
        of_vector = name in structured.VECTORS
        yield name, [programs.timed(name, p, of_vector) for p in (plain, ours)]


def against_pyro() -> Iterator[Contest]:
    from tests.benchmarks import distributions_torch as programs

    for validate, suffix in ((None, ""), (False, ", unchecked")):
        theirs, made = programs.hosts(validate), programs.constructors(validate)
        for name, make in theirs.items():
            # What refuses its own sample is timed where it does not look.
            if not refusals(make):
                yield name + suffix, [programs.scored(m) for m in (make, made[name])]


def refusals(make: Callable[[], Any]) -> int:
    """How many of twenty samples the law's own density refuses."""
    from tests.benchmarks import distributions_torch as programs

    return sum(programs.rejects_itself(make) for _ in range(20))


def remark() -> str:
    """Which of Pyro's own classes refuse their own samples."""
    from tests.benchmarks import distributions_torch as programs

    found = {name: refusals(make) for name, make in programs.hosts(None).items()}
    lines = [
        f"Validation refuses {count} of 20 samples of Pyro's own {name} of shape (10000, 10)."
        for name, count in found.items()
        if count
    ]
    return "\n".join(lines)


def against_numpyro() -> Iterator[Contest]:
    from tests.benchmarks import distributions_jax as programs

    made = programs.constructors()
    for name, theirs in programs.HOSTS.items():
        yield name, [programs.scored(name, make) for make in (theirs, made[name])]


def against_relaxit() -> Iterator[Contest]:
    from tests.benchmarks import distributions_relaxit, distributions_torch

    made = distributions_torch.constructors(None)
    for name, theirs in distributions_relaxit.programs().items():
        ours = distributions_torch.drawn(made[name])
        yield name, [distributions_torch.timed(p) for p in (theirs, ours)]


TABLES = {
    "plain_torch": (against_plain_torch, ["plain torch, ms", "ours in Pyro", "unchecked"]),
    "plain_jax": (against_plain_jax, ["plain JAX, ms", "ours in NumPyro"]),
    "pyro": (against_pyro, ["Pyro's own, ms", "ours"]),
    "numpyro": (against_numpyro, ["NumPyro's own, ms", "ours"]),
    "relaxit": (against_relaxit, ["relaxit, ms", "ours in Pyro"]),
}
HERE = [name for name in TABLES if name != "relaxit"]


def main() -> None:
    """Print a table for each contender, relaxit where an interpreter has it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--turns", type=int, default=21)
    parser.add_argument("--only", nargs="+", metavar="CLASS")
    parser.add_argument("--against", nargs="+", choices=TABLES, default=HERE)
    parser.add_argument("--relaxit-python", metavar="PATH", help="an interpreter with relaxit 1.2")
    parser.add_argument("--write", action="store_true", help="keep the tables in docs/benchmarks")
    options = parser.parse_args()
    for name in options.against:
        contests, header = TABLES[name]
        text = table.markdown(["", *header], rows(contests(), options))
        text += f"\n\n{remark()}" if name == "pyro" else ""
        print(text, flush=True)
        if options.write:
            others = {"relaxit": version("relaxit")} if name == "relaxit" else None
            table.write(f"distributions_{name}", text, others)
    if options.relaxit_python:
        command = [options.relaxit_python, "-m", __spec__.name, "--against", "relaxit"]
        command += ["--turns", str(options.turns), *(["--write"] if options.write else [])]
        command += ["--only", *options.only] if options.only else []
        subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
