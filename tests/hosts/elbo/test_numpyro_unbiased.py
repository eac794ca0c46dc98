"""Every estimator's mean gradient is the exactly enumerated one, on every shape of guide."""

from __future__ import annotations

import pytest

import relaxppl.numpyro as rx
from tests.hosts.elbo.numpyro_cases import CASES, PLATE, TWO_LEVELS
from tests.hosts.elbo.numpyro_corner_cases import (
    BESIDE,
    COUNTS,
    MASKED_COUNTS,
    RETURNING,
    TWO_PLATES,
)
from tests.hosts.elbo.unbiased import measure

ESTIMATORS = {
    "score": (rx.ScoreFunction_ELBO, {}, False),
    "rloo": (rx.RLOO_ELBO, {"num_particles": 3}, False),
    "disarm": (rx.DisARM_ELBO, {}, False),
    "arms": (rx.ARMS_ELBO, {"num_particles": 4}, False),
    "local": (rx.LocalExpectation_ELBO, {}, False),
    "coupled": (rx.Coupled_ELBO, {}, False),
    "rebar": (rx.REBAR_ELBO, {"temperature": 0.6, "eta": 0.7, "learn": False}, False),
    "relax": (rx.RELAX_ELBO, {"hidden": 3}, True),
}


# Two levels run with the exact KL, in test_numpyro_exact_kl.py; local expectations where plates are
# kept apart and where they are not.
ELSEWHERE = {(TWO_LEVELS.name, estimator) for estimator in ESTIMATORS if estimator != "local"}
ELSEWHERE |= {(case, "coupled") for case in CASES}
ELSEWHERE |= {(c, "local") for c in ("vector", "three levels", "shared")}
# Every program takes seconds to compile. An estimator's mathematics is one for both hosts, and on
# Pyro every pair runs; here every estimator runs on a program, and every program with an
# estimator; tests/composition has further programs.
AT_ONCE = {
    "vector": ("rloo", "arms", "relax"),
    TWO_LEVELS.name: ("local",),
    "three levels": ("rebar",),
    PLATE.name: ("disarm",),
    "shared": ("score",),
}
ROWS = [
    pytest.param(c, e, marks=() if e in AT_ONCE[c] else pytest.mark.long)
    for c in CASES
    for e in ESTIMATORS
    if (c, e) not in ELSEWHERE
]


@pytest.mark.parametrize(("case", "estimator"), ROWS)
def test_mean_gradient_is_exact(case, estimator):
    make, options, prepare = ESTIMATORS[estimator]
    infer = CASES[case].infer if estimator == "rebar" else {}
    draws = 20_000 if estimator == "local" else 100_000
    outcome = measure(make(**options), CASES[case], draws, infer, prepare=prepare)
    assert outcome.worst < 4
    assert outcome.error < 0.05


@pytest.mark.parametrize("estimator", ["score", pytest.param("rebar", marks=pytest.mark.long)])
def test_what_leaves_a_plate_and_comes_back_reaches_all_of_it(estimator):
    make, options, _ = ESTIMATORS[estimator]
    outcome = measure(make(**options), RETURNING, draws=100_000)
    assert outcome.worst < 4
    assert outcome.error < 0.1


@pytest.mark.parametrize("estimator", [pytest.param("score", marks=pytest.mark.long), "disarm"])
def test_plates_are_told_apart_by_their_names(estimator):
    make, options, _ = ESTIMATORS[estimator]
    outcome = measure(make(**options), TWO_PLATES, draws=40_000)
    assert outcome.worst < 4
    assert outcome.error < 0.05


@pytest.mark.parametrize(
    "estimator", ["score", "disarm", pytest.param("rebar", marks=pytest.mark.long)]
)
def test_another_value_of_a_site_reaches_all_that_the_guide_makes_of_it(estimator):
    make, options, _ = ESTIMATORS[estimator]
    assert measure(make(**options), BESIDE).worst < 4


@pytest.mark.parametrize(
    "estimator", ["score", pytest.param("rloo", marks=pytest.mark.long), "coupled"]
)
def test_counts(estimator):
    make, options, _ = ESTIMATORS[estimator]
    outcome = measure(make(**options), COUNTS, draws=40_000)
    assert outcome.worst < 4
    assert outcome.error < 0.05


def test_a_mask_changes_the_density_of_a_count_but_not_its_draws():
    outcome = measure(rx.ScoreFunction_ELBO(), MASKED_COUNTS, draws=40_000)
    assert outcome.worst < 4
    assert outcome.error < 0.05
