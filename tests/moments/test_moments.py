"""Mean, variance, entropy, cdf and quantile against integrals of the reference law."""

from __future__ import annotations

import numpy as np
import pytest

from tests.adapter import HOSTS, Host, called, is_static
from tests.relaxations.case import Case, element, elements
from tests.relaxations.cases import CASES, both, name_of
from tests.relaxations.laws import Continuous, Implicit, Law

MOMENTS = ("mean", "variance", "entropy")
FUNCTIONS = ("cdf", "icdf")


KNOWN: dict[str, list[dict[str, tuple[np.ndarray, np.ndarray | float]]]] = {}


def expected(case: Case) -> list[dict[str, tuple[np.ndarray, np.ndarray | float]]]:
    """The moments of each element's reference, and how far from each a right value may lie."""
    if str(case) not in KNOWN:
        KNOWN[str(case)] = [moments(law) for _, law in elements(case)]
    return KNOWN[str(case)]


def moments(law: Law) -> dict[str, tuple[np.ndarray, np.ndarray | float]]:
    if isinstance(law, Implicit) or (isinstance(law, Continuous) and law.dim > 2):
        draws = law.sample(np.random.default_rng(0), 200_000)
        values = {"mean": draws, "variance": (draws - draws.mean(0)) ** 2}
        if not isinstance(law, Implicit):
            values["entropy"] = -law.log_prob(draws)
        return {what: (v.mean(0), 5 * v.std(0) / np.sqrt(len(draws))) for what, v in values.items()}
    points, weights = law.nodes()
    log_prob = law.log_prob(points)
    chance = weights * np.exp(log_prob)
    mean = np.tensordot(chance, points, 1)
    return {
        "mean": (mean, 1e-6),
        "variance": (np.tensordot(chance, (points - mean) ** 2, 1), 1e-6),
        "entropy": (-np.sum(chance * np.where(log_prob > -700, log_prob, 0)), 1e-6),
    }


def refusal(host: Host, dist, what: str, *args) -> str | None:
    """The reason why a distribution does not give it, or None if it does."""
    try:
        host.results(lambda d: (called(d, what, *args),), dist)
    except NotImplementedError as error:
        return str(error) or "no reason"
    return None


@pytest.mark.compiles_each
@pytest.mark.parametrize("what", MOMENTS)
@pytest.mark.parametrize(("host", "case"), both(CASES), ids=name_of)
def test_moment_is_right_or_refused_with_a_reason(host: Host, case: Case, what: str):
    dist = host.make(case.name, case.params)
    reason = refusal(host, dist, what)
    if reason is not None:
        assert what not in case.gives
        assert len(reason) > 20, "a refusal says why"
        return
    values = host.moment(dist, what)
    assert values.shape == case.batch_shape + (() if what == "entropy" else case.event_shape)
    for index, right_of in zip(np.ndindex(case.batch_shape), expected(case), strict=True):
        right, tolerance = right_of[what]
        np.testing.assert_array_less(np.abs(values[index] - right), tolerance + 1e-12)


@pytest.mark.parametrize("case", [c for c in CASES if "logits" in c.params], ids=name_of)
def test_moments_are_finite_where_the_logits_are_zero(case: Case):
    params = case.params | {"logits": np.zeros_like(case.params["logits"], dtype=float)}
    dist = HOSTS["pyro"].make(case.name, params)
    for what in sorted(case.gives & set(MOMENTS)):
        assert np.all(np.isfinite(HOSTS["pyro"].moment(dist, what))), what


def quantiles(law: Law) -> np.ndarray:
    return np.quantile(law.sample(np.random.default_rng(1), 2_000), [0.02, 0.2, 0.5, 0.8, 0.98])


SCALARS = [c for c in CASES if c.event_shape == ()]


@pytest.mark.compiles_each
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


@pytest.mark.compiles_each
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


@pytest.mark.parametrize("case", CASES, ids=name_of)
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
