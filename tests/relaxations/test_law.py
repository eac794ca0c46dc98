"""What log_prob says is the law of what sample returns, by oracles that share no code with it."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from tests.adapter import Host
from tests.relaxations.case import Case, elements, reference_log_prob, reference_samples
from tests.relaxations.cases import CASES, both, name_of
from tests.relaxations.laws import Continuous, Law

DRAWS = 100_000
WITH_DENSITY = [case for case in CASES if case.density]
WITHOUT_DENSITY = [case for case in CASES if not case.density]


def high_dimensional(case: Case) -> bool:
    return isinstance(case.first_law, Continuous) and case.first_law.dim > 2


INTEGRABLE = [case for case in WITH_DENSITY if not high_dimensional(case)]
HIGH_DIMENSIONAL = [case for case in WITH_DENSITY if high_dimensional(case)]


def one(case: Case, index: tuple[int, ...]) -> dict:
    """The parameters of one element, keeping the ones that are static."""
    from tests.relaxations.case import element

    return element(case, case.params, index)


@pytest.mark.parametrize(("host", "case"), both(INTEGRABLE), ids=name_of)
def test_density_and_atoms_integrate_to_one(host: Host, case: Case):
    for index, law in elements(case):
        points, weights = law.nodes()
        log_prob = host.log_prob(host.make(case.name, one(case, index)), points)
        assert np.exp(log_prob) @ weights == pytest.approx(1.0, abs=1e-4)


@pytest.mark.parametrize(("host", "case"), both(HIGH_DIMENSIONAL), ids=name_of)
def test_density_integrates_to_one_by_importance_sampling(host: Host, case: Case):
    for index, law in elements(case):
        points, log_weight = law.importance_weights(np.random.default_rng(3), 20_000)
        log_prob = host.log_prob(host.make(case.name, one(case, index)), points)
        ratio = np.exp(log_prob + log_weight)
        error = ratio.std() / np.sqrt(len(ratio))
        assert error < 0.03, "the proposal is too poor for the bar to mean anything"
        assert abs(ratio.mean() - 1) < 3 * error


def cell_chances(law: Law) -> np.ndarray:
    """The chance of every cell, under the reference."""
    points, weights = law.nodes()
    chance = weights * np.exp(law.log_prob(points))
    return np.bincount(law.cells(points), weights=chance)


def merged(chances: np.ndarray, counts: np.ndarray, least: float) -> tuple[np.ndarray, np.ndarray]:
    """Joins the cells that expect fewer than ``least`` draws into one."""
    rare = chances * counts.sum() < least
    return (
        np.append(chances[~rare], chances[rare].sum()),
        np.append(counts[~rare], counts[rare].sum()),
    )


@pytest.mark.compiles_each
@pytest.mark.parametrize(("host", "case"), both(INTEGRABLE), ids=name_of)
def test_samples_have_the_law(host: Host, case: Case):
    samples = host.samples(host.make(case.name, case.params), 11, (DRAWS,))
    for index, law in elements(case):
        cells = law.cells(samples[(slice(None), *index)])
        assert cells.min() >= 0, "a sample is none of the law's values"
        chances = cell_chances(law)
        counts = np.bincount(cells, minlength=len(chances)).astype(float)
        chances, counts = merged(chances / chances.sum(), counts, least=10)
        # The joined cell may itself expect next to nothing: one draw there is no evidence.
        if chances[-1] * DRAWS < 1:
            assert counts[-1] < 8
            chances, counts = chances[:-1] / chances[:-1].sum(), counts[:-1]
        assert stats.chisquare(counts, chances * counts.sum()).pvalue > 1e-4


@pytest.mark.compiles_each
@pytest.mark.parametrize(("host", "case"), both(HIGH_DIMENSIONAL + WITHOUT_DENSITY), ids=name_of)
def test_samples_have_the_law_of_the_reference_sampler(host: Host, case: Case):
    samples = host.samples(host.make(case.name, case.params), 12, (DRAWS,))
    expected = reference_samples(case, 13, DRAWS)
    rng = np.random.default_rng(14)
    for index, _ in elements(case):
        ours = samples[(slice(None), *index)].reshape(DRAWS, -1)
        theirs = expected[(slice(None), *index)].reshape(DRAWS, -1)
        # Every coordinate, some projections and some products: the last see the dependence.
        directions = np.concatenate([np.eye(ours.shape[1]), rng.normal(size=(4, ours.shape[1]))])
        for direction in directions:
            assert stats.ks_2samp(ours @ direction, theirs @ direction).pvalue > 1e-4
        pairs = ours * np.roll(ours, 1, -1), theirs * np.roll(theirs, 1, -1)
        for a, b in zip(pairs[0].T, pairs[1].T, strict=True):
            assert stats.ks_2samp(a, b).pvalue > 1e-4


@pytest.mark.parametrize(("host", "case"), both(WITH_DENSITY), ids=name_of)
def test_log_prob_equals_the_reference(host: Host, case: Case):
    values = reference_samples(case, 5, 40)
    log_prob = host.log_prob(host.make(case.name, case.params), values)
    expected = reference_log_prob(case, values)
    assert log_prob.shape == expected.shape
    np.testing.assert_allclose(log_prob, expected, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize(("host", "case"), both(WITHOUT_DENSITY), ids=name_of)
def test_log_prob_without_a_density_is_refused_with_the_way_out(host: Host, case: Case):
    dist = host.make(case.name, case.params)
    with pytest.raises(NotImplementedError, match=r"density.*(hard|weights)"):
        dist.log_prob(host.draw(dist, 0))


@pytest.mark.parametrize(("host", "case"), both([c for c in CASES if c.discrete]), ids=name_of)
def test_atoms_carry_their_mass_and_nothing_else_does(host: Host, case: Case):
    for index, law in elements(case):
        dist = host.make(case.name, one(case, index), validate=False)
        log_prob = host.log_prob(dist, law.values)
        np.testing.assert_allclose(np.exp(log_prob), law.probs, rtol=1e-10)
