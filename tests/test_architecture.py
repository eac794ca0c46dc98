"""Imports point downward only, and what needs no host imports none."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import relaxppl

PACKAGE = Path(relaxppl.__file__).parent
# From the bottom up; one host never imports the other.
LAYERS = ("ops", "schedules", "moments", "relaxations", "estimators", "common", "numpyro", "pyro")
HOSTS = ("numpyro", "pyro")
FILES = sorted(PACKAGE.rglob("*.py"))


def layer(module: tuple[str, ...]) -> str:
    """Returns the part of the package that a module of it belongs to."""
    return module[0] if module else "relaxppl"


def imports(path: Path) -> set[tuple[str, ...]]:
    """Returns the modules that a file imports, at its head or anywhere in it, as their parts."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {tuple(alias.name.split(".")) for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path}: relative import of {node.module}"
            parts = tuple(node.module.split("."))
            found |= {(*parts, alias.name) for alias in node.names}
    return found


def test_every_part_of_the_package_has_its_place() -> None:
    parts = {layer(p.relative_to(PACKAGE).with_suffix("").parts) for p in FILES}
    assert parts == {*LAYERS, "__init__"}


def test_states_of_random_numbers_are_those_of_the_gpus_too():
    of_the_cpu = ("torch.get_rng_state", "torch.set_rng_state", "torch.random.fork_rng")
    files = {f.name for f in PACKAGE.rglob("*.py") if any(x in f.read_text() for x in of_the_cpu)}
    assert files == {"random_state.py"}


@pytest.mark.parametrize("part", LAYERS)
def test_imports_point_downward(part: str) -> None:
    allowed = {*LAYERS[: LAYERS.index(part) + 1], "__version__"} - ({*HOSTS} - {part})
    own = [p for p in FILES if layer(p.relative_to(PACKAGE).with_suffix("").parts) == part]
    assert own
    for path in own:
        inside = {m[1] for m in imports(path) if m[0] == "relaxppl" and len(m) > 1}
        assert inside <= allowed, f"{path}: {part} imports {inside - allowed}"


@pytest.mark.parametrize("part", LAYERS[:-2])
def test_what_needs_no_host_imports_none(part: str) -> None:
    for path in FILES:
        if layer(path.relative_to(PACKAGE).with_suffix("").parts) == part:
            roots = {m[0] for m in imports(path)}
            backend = {"_jax.py": {"jax"}, "_torch.py": {"torch"}}.get(path.name, set())
            assert roots & {"jax", "torch", "pyro", "numpyro"} <= backend, path


def test_docstrings_are_of_one_dialect() -> None:
    heading = re.compile(r"^\s+(Args|Arguments|Attributes|Parameters|Returns|Raises|Yields):?\s*$")
    for folder in ("relaxppl", "models", "tests", "docs"):
        for path in sorted((PACKAGE.parent / folder).rglob("*.py")):
            found = [line for line in path.read_text().splitlines() if heading.match(line)]
            assert not found, f"{path}: {found[0].strip()!r} in place of :param name:, :returns:"


def test_the_tests_have_the_folders_of_the_library() -> None:
    """A folder that needs no host has its own; one named after a host would shadow it."""
    tests = PACKAGE.parent / "tests"
    for folder in {p.parent.relative_to(PACKAGE) for p in FILES}:
        if folder.parts and folder.parts[0] not in HOSTS:
            # Few tests may be a file, or some, in place of a folder.
            found = [*(tests / folder).glob("test_*.py")]
            found += (tests / folder).parent.glob(f"test_{folder.name}*.py")
            assert found, f"no tests of {folder}"
    assert not [p for p in tests.rglob("*") if p.is_dir() and p.name in HOSTS]
