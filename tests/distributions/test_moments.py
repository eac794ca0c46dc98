"""Mean, variance, entropy, cdf and quantile against integrals of the reference law."""

from __future__ import annotations

import numpy as np
import pytest

from tests.distributions.case import Case, element, elements
from tests.distributions.cases import LANDED, both, name_of
from tests.distributions.hosts import HOSTS, Host, is_static
from tests.distributions.laws import Continuous, Implicit, Law

MOMENTS = ("mean", "variance", "entropy")
FUNCTIONS = ("cdf", "icdf")


def expected(law: Law, moment: str) -> tuple[np.ndarray, np.ndarray | float]:
    """The moment of a reference and how far from it a right value may lie."""
    if isinstance(law, Implicit) or (isinstance(law, Continuous) and law.dim > 2):
        draws = law.sample(np.random.default_rng(0), 200_000)
        if moment == "entropy":
            values = -law.log_prob(draws)
        else:
            values = draws if moment == "mean" else (draws - draws.mean(0)) ** 2
        return values.mean(0), 5 * values.std(0) / np.sqrt(len(draws))
    if moment == "entropy":
        points, weights = law.nodes()
        log_prob = law.log_prob(points)
        return -np.sum(weights * np.exp(log_prob) * np.where(log_prob > -700, log_prob, 0)), 1e-6
    mean = law.expect(lambda x: x)
    if moment == "mean":
        return mean, 1e-6
    return law.expect(lambda x: (x - mean) ** 2), 1e-6


def refusal(host: Host, dist, what: str, *args) -> str | None:
    """The reason why a distribution does not give it, or None if it does."""
    try:
        value = getattr(dist, what)
        if callable(value):
            value(*args)
    except NotImplementedError as error:
        return str(error) or "no reason"
    return None


@pytest.mark.parametrize("what", MOMENTS)
@pytest.mark.parametrize(("host", "case"), both(LANDED), ids=name_of)
def test_moment_is_right_or_refused_with_a_reason(host: Host, case: Case, what: str):
    dist = host.make(case.name, case.params)
    reason = refusal(host, dist, what)
    if reason is not None:
        assert what not in case.gives
        assert len(reason) > 20, "a refusal says why"
        return
    values = host.moment(dist, what)
    assert values.shape == case.batch_shape + (() if what == "entropy" else case.event_shape)
    for index, law in elements(case):
        right, tolerance = expected(law, what)
        np.testing.assert_array_less(np.abs(values[index] - right), tolerance + 1e-12)


@pytest.mark.parametrize("case", [c for c in LANDED if "logits" in c.params], ids=name_of)
def test_moments_are_finite_where_the_logits_are_zero(case: Case):
    params = case.params | {"logits": np.zeros_like(case.params["logits"], dtype=float)}
    dist = HOSTS["pyro"].make(case.name, params)
    for what in sorted(case.gives & set(MOMENTS)):
        assert np.all(np.isfinite(HOSTS["pyro"].moment(dist, what))), what


def quantiles(law: Law) -> np.ndarray:
    return np.quantile(law.sample(np.random.default_rng(1), 2_000), [0.02, 0.2, 0.5, 0.8, 0.98])


SCALARS = [c for c in LANDED if c.event_shape == ()]


@pytest.mark.parametrize(("host", "case"), both(SCALARS), ids=name_of)
def test_cdf_is_the_integral_of_the_density_or_refused(host: Host, case: Case):
    for index, law in elements(case):
        dist = host.make(case.name, element(case, case.params, index))
        reason = refusal(host, dist, "cdf", host.array(0.5))
        if reason is not None:
            assert "cdf" not in case.gives
            assert len(reason) > 20
            continue
        for x in quantiles(law):
            found = float(host.numpy(dist.cdf(host.array(x))))
            assert found == pytest.approx(law.cdf(x), abs=1e-7)


@pytest.mark.parametrize(("host", "case"), both(SCALARS), ids=name_of)
def test_icdf_inverts_the_cdf_or_is_refused(host: Host, case: Case):
    dist = host.make(case.name, case.params)
    reason = refusal(host, dist, "icdf", host.array(0.5))
    if reason is not None:
        assert "icdf" not in case.gives
        assert len(reason) > 20
        return
    probability = np.array([1e-4, 0.2, 0.5, 0.77, 0.999])[:, None]
    x = dist.icdf(host.array(probability))
    assert host.numpy(x).shape == (5, *case.batch_shape)
    for index, law in elements(case):
        for p, value in zip(probability[:, 0], host.numpy(x)[(slice(None), *index)], strict=True):
            # The quantile is the least x with P(X <= x) >= p; an atom may lie on it.
            assert law.cdf(value) >= p - 1e-7
            below = value - 1e-9 * abs(value)
            assert value == 0 or law.cdf(below) <= p + 1e-7


@pytest.mark.parametrize("case", LANDED, ids=name_of)
def test_moments_of_a_batch_of_more_dimensions(case: Case):
    host = HOSTS["pyro"]
    more = {n: v if is_static(v) else np.asarray(v)[None] for n, v in case.params.items()}
    one, many = host.make(case.name, case.params), host.make(case.name, more)
    for what in MOMENTS:
        if refusal(host, one, what) is not None:
            continue
        wanted = np.broadcast_to(host.moment(one, what), host.moment(many, what).shape)
        np.testing.assert_allclose(host.moment(many, what), wanted, rtol=1e-9, err_msg=what)


@pytest.mark.parametrize("host", HOSTS.values(), ids=HOSTS)
def test_nothing_lies_left_of_a_gate_that_is_open(host: Host):
    for name, params in (
        ("HardConcrete", {"temperature": 2 / 3, "logits": np.array(800.0)}),
        ("GaussianRelaxedBernoulli", {"loc": np.array(60.0), "scale": np.array(1.0)}),
        ("StraightThroughBernoulli", {"logits": np.array(800.0)}),
    ):
        dist = host.make(name, params)
        np.testing.assert_array_equal(host.call(dist, "cdf", host.array([-1.0, 0.0])), 0.0)
