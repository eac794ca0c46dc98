"""The rows of the suite: those of ``tests/relaxations/cases.py``, and the host laws we extend."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import special

from tests.adapter import Host, is_static
from tests.relaxations.case import Case, Params, element, reference_samples
from tests.relaxations.cases import CASES, both, name_of
from tests.relaxations.facts import ROW_BATCH, VECTOR
from tests.relaxations.laws import Continuous, Discrete, Law


def _count(logits: Any) -> Law:
    return Discrete(np.arange(len(logits)), special.softmax(logits))


COUNT = Case(
    "FiniteCount",
    "logits",
    {"logits": ROW_BATCH},
    _count,
    VECTOR,
    gives=frozenset(),
    reparameterized=False,
)
"""A Categorical of the host to everything but ``relax``: its moments and samples are the host's."""

EVERY = [*CASES, COUNT]
"""All rows: for what differs with the parameters that are given."""


def _first_of_each_mode(cases: list[Case]) -> list[Case]:
    # hard=True is another law than hard=False, of another support and with a density.
    first: dict[tuple[str, bool], Case] = {}
    for case in cases:
        first.setdefault((case.name, case.density), case)
    return list(first.values())


ROWS = _first_of_each_mode(EVERY)
"""One row for each class, and two where a flag decides whether it has a density."""
DENSITY = [case for case in ROWS if case.density]
SMOOTH = [
    case for case in DENSITY if isinstance(case.first_law, Continuous) and len(case.event_shape) < 2
]
"""Those with a density and no atoms, on vectors or scalars."""


def over(cases: list[Case]) -> pytest.MarkDecorator:
    """Runs a test on both hosts over these rows."""
    return pytest.mark.parametrize(("host", "case"), both(cases), ids=name_of)


def each(cases: list[Case]) -> pytest.MarkDecorator:
    """Runs a test of one host over these rows."""
    return pytest.mark.parametrize("case", cases, ids=str)


def value(host: Host, case: Case, x: np.ndarray) -> Any:
    """A value of the host, of the dtype of a sample of the class."""
    whole = host.name == "numpyro" and case.name == COUNT.name
    return host.array(x, "int64" if whole else "float64")


def values(host: Host, case: Case, n: int = 3, seed: int = 1) -> Any:
    """Values in the support, (n, *batch, *event)."""
    return value(host, case, reference_samples(case, seed, n))


def first_element(case: Case) -> Params:
    """The parameters of one element of the batch."""
    return element(case, case.params, (0,) * len(case.batch_shape))


def variants(case: Case) -> list[Params]:
    """Three parameters of the same shapes: the second has the batch turned round."""

    def turned(name, given):
        if is_static(given) or np.ndim(given) == case.ranks.get(name, 0):
            return given
        return np.roll(given, 1, 0)

    return [case.params, {n: turned(n, v) for n, v in case.params.items()}, case.params]
