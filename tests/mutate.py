"""Breaks the mathematics in one place at a time and sees whether a test fails.

Run by hand, after ``make coverage``, which writes down what test runs what line in what time::

    python -m tests.mutate --per-file 10

Each mutant is one operator, sign, constant, condition or stop_gradient changed in a file of the
relaxations, the estimators or the KL rules. The tests that run the changed line are run against it,
the quick ones first, until one fails. What survives is listed: a survivor is an equivalent program
or a missing test.
"""

from __future__ import annotations

import argparse
import ast
import importlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent
COVERAGE, DURATIONS = ROOT / "out/coverage/data", ROOT / "out/coverage/durations.xml"
FILES = (
    "relaxations/*.py",
    "estimators/*.py",
    "*pyro/divergences.py",
    "*pyro/elbo/exact_kl.py",
)
SWAPPED: dict[type[ast.operator], ast.operator] = {
    ast.Add: ast.Sub(),
    ast.Sub: ast.Add(),
    ast.Mult: ast.Div(),
    ast.Div: ast.Mult(),
    ast.Pow: ast.Mult(),
    ast.MatMult: ast.Add(),
    ast.BitAnd: ast.BitOr(),
    ast.BitOr: ast.BitAnd(),
}
TURNED: dict[type[ast.cmpop], ast.cmpop] = {
    ast.Lt: ast.Gt(),
    ast.Gt: ast.Lt(),
    ast.LtE: ast.Gt(),
    ast.GtE: ast.Lt(),
    ast.Eq: ast.NotEq(),
    ast.NotEq: ast.Eq(),
    ast.Is: ast.IsNot(),
    ast.IsNot: ast.Is(),
    ast.In: ast.NotIn(),
    ast.NotIn: ast.In(),
}


class Mutant(NamedTuple):
    """One change of one file; first and last are the lines of the statement it is in."""

    file: Path
    line: int
    first: int
    last: int
    source: str
    change: str


def _name(node: ast.AST) -> str:
    return type(node).__name__


def _changes_at(node: ast.AST) -> Iterator[str]:
    """Yields the description of every change at a node, which is changed while it is yielded."""
    if isinstance(node, ast.BinOp) and type(node.op) in SWAPPED:
        operator = node.op
        node.op = SWAPPED[type(operator)]
        yield f"{_name(operator)} -> {_name(node.op)}"
        node.op = operator
    elif isinstance(node, ast.Compare) and type(node.ops[0]) in TURNED:
        turned = node.ops[0]
        node.ops[0] = TURNED[type(turned)]
        yield f"{_name(turned)} -> {_name(node.ops[0])}"
        node.ops[0] = turned
    elif isinstance(node, ast.BoolOp):
        joined = node.op
        node.op = ast.Or() if isinstance(joined, ast.And) else ast.And()
        yield f"{_name(joined)} -> {_name(node.op)}"
        node.op = joined
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.Not | ast.Invert):
        sign, operand = node.op, node.operand
        # Doubly negated where one negation would change nothing but the type.
        node.op, node.operand = ast.UAdd(), operand
        if isinstance(sign, ast.Not | ast.Invert):
            node.op, node.operand = sign, ast.UnaryOp(sign, operand)
        yield f"{_name(sign)} dropped"
        node.op, node.operand = sign, operand
    elif isinstance(node, ast.Constant) and isinstance(node.value, bool):
        node.value = not node.value
        yield f"{not node.value} -> {node.value}"
        node.value = not node.value
    elif isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        value = node.value
        node.value = 1.25 * value if isinstance(value, float) and value else value + 1
        yield f"{value} -> {node.value}"
        node.value = value
    elif isinstance(node, ast.Call) and ast.unparse(node.func) == "ops.stop_gradient":
        called = node.func
        node.func = ast.parse("(lambda x: x)", mode="eval").body
        yield "stop_gradient dropped"
        node.func = called
    elif isinstance(node, ast.Call) and ast.unparse(node.func) == "ops.where":
        node.args[1], node.args[2] = node.args[2], node.args[1]
        yield "sides of where exchanged"
        node.args[1], node.args[2] = node.args[2], node.args[1]


def mutants(file: Path) -> list[Mutant]:
    """Returns all mutants of a file; messages of errors and annotations are left as they are."""
    tree = ast.parse(file.read_text())
    found = []

    def visit(node: ast.AST, first: int, last: int) -> None:
        if isinstance(node, ast.Raise | ast.JoinedStr | ast.Import | ast.ImportFrom):
            return
        if isinstance(node, ast.stmt):
            body = getattr(node, "body", None)
            first = node.lineno
            # Of a compound statement this is its head.
            last = max(first, body[0].lineno - 1) if body else node.end_lineno or first
        for change in _changes_at(node):
            place = file, getattr(node, "lineno", first), first, last
            found.append(Mutant(*place, ast.unparse(tree), change))
        for field, value in ast.iter_fields(node):
            if field in ("annotation", "returns", "decorator_list"):
                continue
            for child in value if isinstance(value, list) else [value]:
                if isinstance(child, ast.AST):
                    visit(child, first, last)

    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            for statement in node.body:
                if not isinstance(statement, ast.FunctionDef):
                    visit(statement, statement.lineno, statement.lineno)
    # A function within a function is walked twice.
    return list({(m.line, m.change, m.source): m for m in found}.values())


class Tests:
    """What test runs what line, and how long each takes, as ``make coverage`` wrote it down."""

    def __init__(self) -> None:
        from coverage import CoverageData

        self._data = CoverageData(basename=str(COVERAGE))
        self._data.read()
        there = subprocess.run(
            [sys.executable, "-m", "pytest", "--collect-only", "-q"],
            cwd=ROOT,
            check=True,
            capture_output=True,
            text=True,
        )
        self._there = set(there.stdout.splitlines())
        self.seconds: dict[str, float] = {}
        for case in ET.parse(DURATIONS).iter("testcase"):
            path = case.get("classname", "").replace(".", "/") + ".py"
            self.seconds[f"{path}::{case.get('name')}"] = float(case.get("time", 0))

    def of(self, mutant: Mutant) -> list[str]:
        """Returns the tests that run a mutant's statement, the quickest first."""
        lines = self._data.contexts_by_lineno(mutant.file.relative_to(ROOT).as_posix())
        found = {
            context.rpartition("|")[0]
            for line in range(mutant.first, mutant.last + 1)
            for context in lines.get(line, [])
        }
        return sorted(found & self._there, key=lambda t: self.seconds.get(t, 1.0))

    def within(self, tests: list[str], seconds: float) -> list[str]:
        """Returns as many tests from the front as the time allows, at least one."""
        chosen, spent = [], 0.0
        for test in tests:
            spent += self.seconds.get(test, 1.0)
            if chosen and spent > seconds:
                break
            chosen.append(test)
        return chosen


def _preload() -> None:
    """Imports once what every mutant's tests import, and nothing that starts threads."""
    for name in ("hypothesis", "numpyro.infer", "pyro.infer.autoguide", "pytest", "scipy.stats"):
        importlib.import_module(name)


def survives(mutant: Mutant, tests: list[str], folder: Path, seconds: float) -> bool:
    """Returns whether tests pass on a mutant; one that never ends counts as killed.

    :param mutant: the change.
    :param tests: their node ids.
    :param folder: a copy of the checkout.
    :param seconds: how long they may take.
    """
    target = folder / mutant.file.relative_to(ROOT)
    target.write_text(mutant.source)
    child = os.fork()
    if child == 0:
        quiet = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(quiet, stream)
        code = 1
        try:
            os.setsid()
            os.chdir(folder)
            sys.path.insert(0, str(folder))
            sys.dont_write_bytecode = True
            for name in [n for n in sys.modules if n.split(".")[0] in ("tests", "models")]:
                del sys.modules[name]
            import pytest

            code = pytest.main(["-q", "-x", "-p", "no:cacheprovider", "-p", "no:xdist", *tests])
        finally:
            os._exit(int(code))
    deadline = time.monotonic() + seconds
    try:
        while time.monotonic() < deadline:
            ended, status = os.waitpid(child, os.WNOHANG)
            if ended:
                return os.waitstatus_to_exitcode(status) == 0
            time.sleep(0.05)
        os.killpg(child, signal.SIGKILL)
        os.waitpid(child, 0)
        return False
    finally:
        shutil.copy(mutant.file, target)


def main() -> None:
    """Prints each mutant's end and, at the end, the survivors and the share that was killed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="*", type=Path, help="of the package; left out: all")
    parser.add_argument("--per-file", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=60.0, help="for the tests of a mutant")
    options = parser.parse_args()
    files = [f.resolve() for f in options.files] or sorted(
        f for pattern in FILES for f in (ROOT / "relaxppl").glob(pattern)
    )
    tests, rng = Tests(), random.Random(options.seed)
    _preload()
    survivors, total = [], 0
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        for part in ("relaxppl", "tests", "models", "docs", "pyproject.toml", "README.md"):
            source = ROOT / part
            skip = shutil.ignore_patterns("__pycache__")
            if source.is_dir():
                shutil.copytree(source, folder / part, ignore=skip)
            else:
                shutil.copy(source, folder / part)
        for file in files:
            found = mutants(file)
            picked = rng.sample(found, min(options.per_file, len(found)))
            for mutant in picked:
                begin = time.monotonic()
                about = tests.of(mutant)
                chosen = tests.within(about, options.seconds)
                allowed = 30 + 2 * sum(tests.seconds.get(t, 1.0) for t in chosen)
                unchanged = mutant._replace(source=file.read_text())
                if mutant is picked[0] and not survives(unchanged, chosen, folder, allowed):
                    print(f"{file}: its tests fail without a change, or do not fit the coverage")
                    break
                total += 1
                alive = not chosen or survives(mutant, chosen, folder, allowed)
                line = (
                    f"{'SURVIVES' if alive else 'killed':<9}"
                    f"{file.relative_to(ROOT)}:{mutant.line}  {mutant.change}  "
                    f"({len(chosen)} of {len(about)} tests, {time.monotonic() - begin:.0f} s)"
                )
                print(line, flush=True)
                if alive:
                    survivors.append(line)
    print(f"{total - len(survivors)} of {total} killed; survivors:", *survivors, sep="\n")


if __name__ == "__main__":
    main()
