"""float32 at the ends of what is allowed: no NaN anywhere, own samples in the support."""

from __future__ import annotations

import numpy as np
import pytest

from tests.distributions.case import Case, Params, batch_shape
from tests.distributions.cases import LANDED, both, name_of
from tests.distributions.hosts import HOSTS, Host, is_static

EXTREME = [(host, case, i) for host, case in both(LANDED) for i in range(len(case.extremes))]
DRAWS = 50


def at(case: Case, i: int) -> Params:
    return {n: v if is_static(v) else np.asarray(v, float) for n, v in case.extremes[i].items()}


@pytest.mark.parametrize(("host", "case", "i"), EXTREME, ids=name_of)
def test_own_samples_are_in_the_support_and_have_a_log_prob(host: Host, case: Case, i: int):
    params = at(case, i)
    dist = host.make(case.name, params, "float32")
    sample, inside, log_prob = host.draw_and_score(dist, 4, (DRAWS,), case.density)
    assert sample.dtype == np.float32
    assert sample.shape == (DRAWS, *batch_shape(case, params), *case.event_shape)
    assert inside.all()
    if log_prob is not None:
        assert not np.isnan(log_prob).any()
        assert not (log_prob == np.inf).any()


REPARAMETERIZED = [(h, c, i) for h, c, i in EXTREME if c.reparameterized]


@pytest.mark.parametrize(("host", "case", "i"), REPARAMETERIZED, ids=name_of)
def test_gradients_are_never_nan(host: Host, case: Case, i: int):
    params = at(case, i)
    noise = host.noise(host.make(case.name, params, "float32"), 5, (DRAWS,))

    def sample(given):
        return host.build(case.name, given).from_noise(host.array(noise, "float32"))

    def of_sample(given):
        return sample(given).sum()

    def of_log_prob(given):
        return host.build(case.name, given).log_prob(host.array(fixed, "float32")).sum()

    def of_both(given):
        return host.build(case.name, given).log_prob(sample(given)).sum()

    fixed = host.from_noise(host.make(case.name, params, "float32"), noise, "float32")
    for what in (of_sample, *((of_log_prob, of_both) if case.density else ())):
        for name, grad in host.value_and_grad(what, params, "float32")[1].items():
            assert not np.isnan(grad).any(), (what.__name__, name)


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
