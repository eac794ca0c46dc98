"""An estimator is its file, an export on each host, a row of the reference tests and a page."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

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
