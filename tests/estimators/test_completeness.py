"""An estimator is its file, an export on each host, a row of the reference tests and a page."""

from __future__ import annotations

import ast
import importlib
import re
from pathlib import Path

import pytest

from relaxppl.estimators import ways_out
from relaxppl.estimators.base import Estimator
from relaxppl.estimators.choice import ESTIMATORS
from relaxppl.estimators.elbo import temperature_of
from tests.estimators import test_multi_sample
from tests.hosts.elbo import test_numpyro_unbiased, test_pyro_unbiased

ROOT = Path(__file__).parents[2]
ROWS = {
    "numpyro": test_numpyro_unbiased.ESTIMATORS | test_multi_sample.ESTIMATORS["numpyro"],
    "pyro": test_pyro_unbiased.ESTIMATORS | test_multi_sample.ESTIMATORS["pyro"],
}


def kinds() -> list[type[Estimator]]:
    folder = Path(importlib.import_module("relaxppl.estimators").__file__).parent
    for file in folder.glob("*.py"):
        importlib.import_module(f"relaxppl.estimators.{file.stem}")
    found, todo = [], [Estimator]
    while todo:
        below = todo.pop().__subclasses__()
        own = [kind for kind in below if kind.__module__.startswith("relaxppl.")]
        found += [kind for kind in own if not kind.__name__.startswith("_")]
        todo += below
    return found


def test_every_estimator_has_its_name() -> None:
    assert set(ESTIMATORS.values()) == set(kinds())
    assert all(kind.name == name for name, kind in ESTIMATORS.items())


@pytest.mark.parametrize("host", ROWS)
@pytest.mark.parametrize("name", ESTIMATORS)
def test_every_estimator_is_exported_and_has_a_row(name: str, host: str) -> None:
    module = importlib.import_module(f"relaxppl.{host}")
    made = [getattr(module, n) for n in module.__all__ if n.endswith("_ELBO")]
    (elbo,) = (e for e in made if e.estimator_class is ESTIMATORS[name])
    assert any(row[0] is elbo for row in ROWS[host].values())


@pytest.mark.parametrize("name", ESTIMATORS)
def test_every_estimator_has_a_page(name: str) -> None:
    elbo = f"{ESTIMATORS[name].__name__}_ELBO"
    table = (ROOT / "docs/estimators/README.md").read_text()
    (page,) = re.findall(rf"\[{elbo}\]\((\w+\.md)\)", table)
    assert (ROOT / "docs/estimators" / page).read_text().startswith(f"# {elbo}")


@pytest.mark.parametrize("host", ROWS)
def test_the_temperature_of_an_elbo_is_its_estimators(host: str) -> None:
    rx = importlib.import_module(f"relaxppl.{host}")
    assert temperature_of(rx.RELAX_ELBO(temperature=0.3)) == 0.3
    assert temperature_of(rx.DisARM_ELBO()) is None
    assert temperature_of(None) is None


# Lists, and those that are made of another estimator or run one.
NAMES = {
    "DisARM": set(),
    "ARMS": set(),
    "RLOO": set(),
    "Coupled": {"numpyro/registry", "pyro/registry", "pyro/hardened"},  # Of another meaning.
    "LocalExpectation": set(),
    "ScoreFunction": {"estimators/relax", "numpyro/bound", "pyro/bound"},
    "REBAR": {"estimators/relax", "estimators/local"},
    "RELAX": {"estimators/local"},
    "VIMCO": {"numpyro/bound", "pyro/bound"},
    "ReweightedWakeSleep": set(),
}
LISTS = {
    "common/recommend/recommendation",
    "common/recommend/trials",
    "estimators/__init__",
    "estimators/choice",
    "estimators/ways_out",
    "numpyro/elbo/classes",
    "pyro/elbo/classes",
}


def test_an_estimator_is_named_in_its_own_file_and_in_lists_only() -> None:
    library = ROOT / "relaxppl"
    assert set(NAMES) == {kind.__name__ for kind in ESTIMATORS.values()}
    modules = {
        kind.__name__: kind.__module__.removeprefix("relaxppl.").replace(".", "/")
        for kind in ESTIMATORS.values()
    }
    for path in sorted(library.rglob("*.py")):
        file, text = str(path.relative_to(library).with_suffix("")), path.read_text()
        words = {n.id for n in ast.walk(ast.parse(text)) if isinstance(n, ast.Name)}
        words |= {n.name for n in ast.walk(ast.parse(text)) if isinstance(n, ast.alias)}
        found = {name for name in NAMES if {name, f"{name}_ELBO"} & words}
        if file not in LISTS:
            assert {n for n in found if file not in NAMES[n] | {modules[n]}} == set(), file
            # What a message advises is in a list too.
            assert not re.findall(r"'estimator': '(\w+)'", text), file


@pytest.mark.parametrize("advice", [n for n in vars(ways_out) if n.isupper()])
def test_what_messages_advise_needs_no_relaxed_value(advice: str) -> None:
    names = re.findall(r"'(\w+)'(?!:)", getattr(ways_out, advice))
    assert names
    for name in names:
        law = ESTIMATORS[name].laws
        assert not ESTIMATORS[name]().relaxes(None if law is None else law[0])
