"""Breaks the mathematics in one place at a time and sees whether a test fails.

Run by hand: ``python -m tests.mutate --per-file 3``. Each mutant is a copy of the package with one
operator, sign, constant or stop_gradient changed; the tests that are about its file run against it
until one fails. What survives is listed: a survivor is an equivalent program or a missing test.
"""

from __future__ import annotations

import argparse
import ast
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent
SWAPPED: dict[type[ast.operator], ast.operator] = {
    ast.Add: ast.Sub(),
    ast.Sub: ast.Add(),
    ast.Mult: ast.Div(),
    ast.Div: ast.Mult(),
    ast.Pow: ast.Mult(),
}
TURNED: dict[type[ast.cmpop], ast.cmpop] = {
    ast.Lt: ast.Gt(),
    ast.Gt: ast.Lt(),
    ast.LtE: ast.Gt(),
    ast.GtE: ast.Lt(),
}
DISTRIBUTIONS = ("tests/distributions", "tests/test_saturated_gradients.py")
ELBO = (
    "tests/estimators",
    "tests/elbo/test_numpyro_unbiased.py",
    "tests/elbo/test_numpyro_learning.py",
)
TESTS = {
    "relaxations": DISTRIBUTIONS,
    "relaxations/divergences.py": ("tests/kl",),
    "estimators": ELBO,
}
"""For a folder or a file of the package, the tests that are about it."""


class Mutant(NamedTuple):
    """One change of one file."""

    file: Path
    line: int
    source: str
    change: str


def _changes(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Yields the line and the description of every change, the tree changed while it is yielded."""
    skipped = {id(n) for r in ast.walk(tree) if isinstance(r, ast.Raise) for n in ast.walk(r)}
    for function in ast.walk(tree):
        if not isinstance(function, ast.FunctionDef):
            continue
        for node in (n for statement in function.body for n in ast.walk(statement)):
            if id(node) in skipped:
                continue
            if isinstance(node, ast.BinOp) and type(node.op) in SWAPPED:
                before = node.op
                node.op = SWAPPED[type(before)]
                yield node.lineno, f"{type(before).__name__} -> {type(node.op).__name__}"
                node.op = before
            elif isinstance(node, ast.Compare) and type(node.ops[0]) in TURNED:
                turned = node.ops[0]
                node.ops[0] = TURNED[type(turned)]
                yield node.lineno, f"{type(turned).__name__} -> {type(node.ops[0]).__name__}"
                node.ops[0] = turned
            elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
                node.op = ast.UAdd()
                yield node.lineno, "a minus sign dropped"
                node.op = ast.USub()
            elif isinstance(node, ast.Constant) and isinstance(node.value, float) and node.value:
                value = node.value
                node.value = 1.25 * value
                yield node.lineno, f"{value} -> {node.value}"
                node.value = value
            elif isinstance(node, ast.Call) and ast.unparse(node.func) == "ops.stop_gradient":
                called = node.func
                node.func = ast.parse("(lambda x: x)", mode="eval").body
                yield node.lineno, "stop_gradient dropped"
                node.func = called


def mutants(file: Path, count: int, rng: random.Random) -> list[Mutant]:
    """Returns some of the mutants of a file.

    :param file: a file of the package.
    :param count: how many at most.
    :param rng: chooses them.
    """
    tree = ast.parse(file.read_text())
    found = [Mutant(file, line, ast.unparse(tree), change) for line, change in _changes(tree)]
    return rng.sample(found, min(count, len(found)))


def tests_of(file: Path) -> tuple[str, ...]:
    """Returns the tests that are about a file of the package."""
    name = file.relative_to(ROOT / "relaxppl").as_posix()
    return TESTS.get(name) or TESTS[name.partition("/")[0]]


def survives(mutant: Mutant, selected: str, seconds: float) -> bool:
    """Returns whether all tests pass on a mutant; one that never ends counts as killed.

    :param mutant: the change.
    :param selected: what pytest's -k takes, or nothing.
    :param seconds: how long the tests may take.
    """
    with tempfile.TemporaryDirectory() as folder:
        for part in ("relaxppl", "tests", "models", "pyproject.toml"):
            source, target = ROOT / part, Path(folder) / part
            (shutil.copytree if source.is_dir() else shutil.copy)(source, target)
        (Path(folder) / mutant.file.relative_to(ROOT)).write_text(mutant.source)
        command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider"]
        command += [*tests_of(mutant.file), *(["-k", selected] if selected else [])]
        environment = {**os.environ, "PYTHONPATH": folder, "OMP_NUM_THREADS": "1"}
        try:
            done = subprocess.run(
                command, cwd=folder, env=environment, capture_output=True, timeout=seconds
            )
        except subprocess.TimeoutExpired:
            return False
        return done.returncode == 0


def main() -> None:
    """Prints each mutant's end and, at the end, the survivors and the share that was killed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="*", type=Path, help="of the package; left out: all")
    parser.add_argument("--per-file", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--select", default="", help="what pytest's -k takes")
    parser.add_argument("--seconds", type=float, default=600.0, help="for the tests of a mutant")
    options = parser.parse_args()
    files = [f.resolve() for f in options.files] or sorted(
        f for part in ("relaxations", "estimators") for f in (ROOT / "relaxppl" / part).glob("*.py")
    )
    rng, alive, total = random.Random(options.seed), [], 0
    for file in files:
        for mutant in mutants(file, options.per_file, rng):
            total += 1
            alive += [mutant] if survives(mutant, options.select, options.seconds) else []
            end = "SURVIVES" if mutant in alive else "killed"
            place = f"{file.relative_to(ROOT)}:{mutant.line}"
            print(f"{end:<9} {place:<60} {mutant.change}", flush=True)
    print(f"{total - len(alive)} of {total} killed")


if __name__ == "__main__":
    main()
