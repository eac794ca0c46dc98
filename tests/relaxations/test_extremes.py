"""float32 and half precision at the ends of what is allowed: no NaN, own samples in the support."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import stats

from tests.adapter import HOSTS, Host, is_static
from tests.relaxations.case import Case, Params, batch_shape, reference_samples
from tests.relaxations.cases import CASES, both, first_of_each, name_of

HALF = ("float16", "bfloat16")
EXTREME = [
    (host, case, i, "float32") for host, case in both(CASES) for i in range(len(case.extremes))
]
# Half precision is one path through the shells: a row of each class of ours.
IN_HALF = [
    (host, case, dtype)
    for host, case in both(first_of_each(CASES))
    if (host.name, case.name) != ("pyro", "OneHotCategorical")
    for dtype in HALF
    # Compiled for each: the law of bfloat16 on NumPyro has its test in tests/hosts/conformance.
    if (host.name, dtype) != ("numpyro", "bfloat16")
]
EXTREME += [(host, case, 0, dtype) for host, case, dtype in IN_HALF if case.extremes]
DRAWS = 50


def at(case: Case, i: int, dtype: str = "float32") -> Params:
    params = {n: v if is_static(v) else np.asarray(v, float) for n, v in case.extremes[i].items()}
    return params if dtype == "float32" else {n: representable(v) for n, v in params.items()}


def representable(value: Any) -> Any:
    """The value moved to where float16 and bfloat16 have room: 0.999 is not 1."""
    if is_static(value):
        return value
    size = np.clip(np.abs(value), 1e-4, 1e4)
    near_one = (size > 0.99) & (size < 1)
    return np.where(value == 0, 0.0, np.sign(value) * np.where(near_one, 0.99, size))


@pytest.mark.parametrize(("host", "case", "i", "dtype"), EXTREME, ids=name_of)
def test_own_samples_are_in_the_support_and_have_a_log_prob(
    host: Host, case: Case, i: int, dtype: str
):
    params = at(case, i, dtype)
    dist = host.make(case.name, params, dtype)
    sample, inside, log_prob = host.draw_and_score(dist, 4, (DRAWS,), case.density)
    assert np.isfinite(sample.astype(float)).all()
    if dtype == "float32" and not case.whole:
        assert sample.dtype == np.float32
    assert sample.shape == (DRAWS, *batch_shape(case, params), *case.event_shape)
    assert inside.all()
    if log_prob is not None:
        log_prob = log_prob.astype(float)
        assert not np.isnan(log_prob).any()
        assert not (log_prob == np.inf).any()


# The gradients themselves leave float16's range there.
REPARAMETERIZED = [row for row in EXTREME if row[1].reparameterized and row[3] != "float16"]


@pytest.mark.parametrize(("host", "case", "i", "dtype"), REPARAMETERIZED, ids=name_of)
def test_gradients_are_never_nan(host: Host, case: Case, i: int, dtype: str):
    params = at(case, i, dtype)
    noise = host.noise(host.make(case.name, params, dtype), 5, (DRAWS,))
    assert noise.dtype == np.float32

    def sample(given):
        return host.build(case.name, given).from_noise(host.array(noise, "float32"))

    def of_sample(given):
        return sample(given).sum()

    def of_log_prob(given):
        return host.build(case.name, given).log_prob(host.array(fixed, dtype)).sum()

    def of_both(given):
        return host.build(case.name, given).log_prob(sample(given)).sum()

    fixed = host.from_noise(host.make(case.name, params, dtype), noise, "float32").astype(float)
    whats = [of_sample, *((of_log_prob, of_both) if case.density else ())]
    for what, grads in zip(whats, host.gradients(whats, params, dtype), strict=True):
        for name, grad in grads.items():
            assert not np.isnan(grad.astype(float)).any(), (what.__name__, name)


@pytest.mark.parametrize(("host", "case", "dtype"), IN_HALF, ids=name_of)
def test_half_precision_has_the_law_of_float64_to_its_rounding(host: Host, case: Case, dtype: str):
    rounded = {n: rounding(host, v, dtype) for n, v in case.params.items()}
    dist = host.make(case.name, case.params, dtype)
    n = 4000
    value, inside, log_prob = host.draw_and_score(dist, 6, (n,), case.density)
    value = value.astype(float)
    assert inside.all()
    expected = rounding(host, reference_samples(case, 7, n, rounded), dtype)
    for found, drawn in zip(value.reshape(n, -1).T, expected.reshape(n, -1).T, strict=True):
        # The Kolmogorov-Smirnov distance at a level of 1e-4.
        assert stats.ks_2samp(found, drawn, method="asymp").statistic < 2.23 * np.sqrt(2 / n)
    assert log_prob is None or np.isfinite(log_prob.astype(float)).all()
    # Of sqrt(p), rounded, float64 says that it is another number.
    if log_prob is not None and case.name != "StochasticTimesSmooth":
        exact = host.log_prob(host.make(case.name, rounded, validate=False), value)
        np.testing.assert_allclose(log_prob, exact, rtol=0.02, atol=0.06)


def rounding(host: Host, value: Any, dtype: str) -> Any:
    if is_static(value):
        return value
    return host.numpy(host.array(host.numpy(host.array(value, dtype)), "float64"))


ALL_HOSTS = pytest.mark.parametrize("host", HOSTS.values(), ids=name_of)
WIDE = {"temperature": 0.1, "logits": np.random.default_rng(0).normal(size=1000)}


@ALL_HOSTS
def test_a_thousand_classes_at_temperature_a_tenth(host: Host):
    dist = host.make("RelaxedOneHotCategorical", WIDE, "float32")
    log_prob = host.log_prob(dist, host.sample(dist, 0, (500,)), "float32")
    assert np.isfinite(log_prob).all()


@ALL_HOSTS
def test_the_logarithmic_sibling_loses_nothing(host: Host):
    dist = host.make("ExpRelaxedOneHotCategorical", WIDE, "float32")
    value = host.sample(dist, 0, (200,))
    single = host.log_prob(dist, value, "float32")
    exact = host.make("ExpRelaxedOneHotCategorical", WIDE, validate=False)
    # One ulp of the value moves log_prob by about its gradient, T K |log x|, in relative terms.
    double = host.log_prob(exact, value)
    np.testing.assert_allclose(single, double, rtol=2e-5)


@ALL_HOSTS
def test_a_value_rounded_to_an_end_stands_for_the_hard_value_of_that_end(host: Host):
    for logits in (-200.0, 200.0):
        dist = host.make("RebarRelaxation", {"temperature": 0.5, "logits": np.array(logits)})
        np.testing.assert_array_equal(host.call(dist, "harden", host.array([0.0, 1.0])), [0, 1])
