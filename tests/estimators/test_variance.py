"""Variances on E[(b - t)^2] against closed forms and against an independent simulation."""

from __future__ import annotations

import numpy as np
import pytest

from relaxppl.estimators import local_gradient
from tests.estimators.noise import BACKENDS, noise

REPEATS = 300_000
POINTS = [(0.3, 0.45), (-1.1, 0.3)]


def closed_form(estimator, logit, t):
    p = 1.0 / (1.0 + np.exp(-logit))
    slope = 1.0 - 2.0 * t
    q, g = min(p, 1.0 - p), p * (1.0 - p) * slope
    if estimator == "score":
        return (
            sum(mass * (b - t) ** 4 * (b - p) ** 2 for b, mass in ((0.0, 1 - p), (1.0, p))) - g**2
        )
    if estimator == "rloo":
        return p * (1.0 - p) * slope**2 / 2.0 - g**2
    return slope**2 * (1.0 - q) ** 2 * q * (0.5 - q)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("estimator", ["score", "rloo", "disarm"])
@pytest.mark.parametrize(("logit", "t"), POINTS)
def test_closed_forms(backend, estimator, logit, t):
    make = BACKENDS[backend]
    logits = make(np.full(REPEATS, logit))
    drawn = noise(estimator, logits, "Bernoulli", make)
    h = local_gradient(lambda b: (b - t) ** 2, logits, drawn, estimator=estimator).gradient
    assert np.var(np.asarray(h)) == pytest.approx(closed_form(estimator, logit, t), rel=0.02)


def test_disarm_has_no_variance_at_one_half():
    logits = BACKENDS["jax"](np.zeros(1000))
    drawn = noise("disarm", logits, "Bernoulli", BACKENDS["jax"])
    h = local_gradient(lambda b: (b - 0.3) ** 2, logits, drawn, estimator="disarm").gradient
    np.testing.assert_allclose(h, 0.25 * 0.4, atol=1e-12)


@pytest.mark.parametrize(("a", "t", "temperature"), [(0.4, 0.499, 0.5), (-1.6, 0.3, 1.2)])
def test_rebar_against_uniforms(a, t, temperature):
    """The uniform-variable form of the coupled estimator: z~ = a + L(v'), v' = 1 - p + v p for
    b = 1 and (1 - v) (1 - p) for b = 0, differentiated in a by finite differences."""
    step = 1e-5
    rng = np.random.default_rng(1)
    u, v = rng.uniform(size=(2, REPEATS))
    sigmoid = lambda x: 1.0 / (1.0 + np.exp(-x))  # noqa: E731
    logit = lambda x: np.log(x) - np.log1p(-x)  # noqa: E731
    p = sigmoid(a)
    b = 1.0 * (u > 1.0 - p)

    def conditional(a):
        p = sigmoid(a)
        return a + logit(np.where(b > 0, 1.0 - p + v * p, (1.0 - v) * (1.0 - p)))

    def soft_cost(z):
        return (sigmoid(z / temperature) - t) ** 2

    z = conditional(a)
    moved = (conditional(a + step) - conditional(a - step)) / (2 * step)
    slope = (soft_cost(z + step) - soft_cost(z - step)) / (2 * step)
    h = ((b - t) ** 2 - soft_cost(z)) * (b - p) + slope * (1.0 - moved)
    make = BACKENDS["jax"]
    ours = local_gradient(
        lambda b: (b - t) ** 2,
        make(np.full(REPEATS, a)),
        {"draw": make(logit(u)), "conditional": make(logit(v))},
        temperature=temperature,
    ).gradient
    np.testing.assert_allclose(ours, h, atol=1e-6)
    if t == 0.499:
        # More than the score function's: the reason to learn the control variate.
        assert np.var(h) > closed_form("score", a, t)
