"""Bounds of the log evidence against enumerated K-tuples and closed forms."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import special, stats

from tests.common.arviz import arviz_cases as cases
from tests.common.arviz.arviz_cases import both
from tests.common.arviz.test_correct import Y, bits, rows

DRAWS = 6000


@both
def test_bounds_are_the_enumerated_ones(name):
    host = cases.host_of(name)
    key = {"rng_key": host.key(3)} if name == "numpyro" else {}
    found = host.rx.log_evidence(*bits(host), {}, num_draws=DRAWS, importance_samples=(3, 1), **key)
    pairs = list(itertools.product((0, 1), (0, 1)))
    p = [
        stats.bernoulli.pmf(a, 0.3)
        * stats.bernoulli.pmf(b, 0.6)
        * stats.norm.pdf(0.9, 1.5 * a - b + 0.8 * a * b, 0.7)
        for a, b in pairs
    ]
    q = np.array([0.5 * stats.bernoulli.pmf(b, special.expit(-0.2)) for _, b in pairs])
    w = np.array(p) / q
    assert found.importance_samples == (1, 3)
    for k, bound, error in zip((1, 3), found.bound, found.error, strict=True):
        tuples = np.array(list(itertools.product(range(4), repeat=k)))
        mass, value = q[tuples].prod(1), np.log(w[tuples].mean(1))
        exact = mass @ value
        assert abs(bound - exact) < 4.5 * error
        spread = np.sqrt((mass @ value**2 - exact**2) / (DRAWS // k))
        assert error == pytest.approx(spread, rel=0.1)
    assert found.plates == ()
    assert found.value == found.bound[-1] == found.by_row
    assert "standard error" in str(found)


@both
def test_elements_of_a_plate_have_bounds_of_their_own(name):
    host = cases.host_of(name)
    key = {"rng_key": host.key(4)} if name == "numpyro" else {}
    found = host.rx.log_evidence(*rows(host), num_draws=DRAWS, importance_samples=[1, 1000], **key)
    exact = np.log(
        0.7 * stats.norm.pdf(Y, 0.0, np.sqrt(1.64)) + 0.3 * stats.norm.pdf(Y, 1.0, np.sqrt(1.64))
    )
    assert found.by_row.shape == (len(Y),)
    np.testing.assert_allclose(found.by_row, exact, atol=0.08)
    assert abs(found.value - exact.sum()) < 4.5 * found.error[-1]
    assert found.bound[0] < exact.sum() - 1.0
    assert found.plates == ("data",)


@both
def test_bad_input_says_what_is_allowed(name):
    host = cases.host_of(name)
    key = {"rng_key": host.key(5)} if name == "numpyro" else {}
    with pytest.raises(ValueError, match="num_draws must be at least 200, got 100"):
        host.rx.log_evidence(*bits(host), {}, num_draws=100, importance_samples=[100], **key)
    with pytest.raises(ValueError, match=r"whole numbers of at least 1, got \(0,\)"):
        host.rx.log_evidence(*bits(host), {}, importance_samples=[0], **key)
    with pytest.raises(TypeError, match="log_evidence takes"):
        host.rx.log_evidence(1, **key)
