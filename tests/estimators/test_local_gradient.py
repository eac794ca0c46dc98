"""The plain entry: a cost function and logits, unbiased for every estimator on both backends."""

from __future__ import annotations

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from relaxppl.estimators import local_gradient
from relaxppl.estimators.choice import ESTIMATORS
from relaxppl.estimators.laws import LAWS
from relaxppl.estimators.site import Candidate
from tests.estimators.noise import BACKENDS, noise

LOGITS = {"Bernoulli": [0.4, -0.9, 1.2], "OneHotCategorical": [0.3, -0.6, 0.9, 0.1]}
LOGITS["Categorical"] = LOGITS["OneHotCategorical"]
WEIGHTS = np.array([0.8, -1.1, 0.5, 0.3])
CASES = [
    (law, estimator)
    for law in LOGITS
    for estimator in ("score", "rloo", "disarm", "arms", "local_expectation", "rebar", "relax")
    if ESTIMATORS[estimator]().takes(Candidate("x", law, LAWS[law], None))
]


def cost(x):
    size = x.shape[-1]
    first, second = x[..., 0], x[..., 1]
    weighted = sum(WEIGHTS[i] * x[..., i] for i in range(size))
    return (weighted - 0.4) ** 2 + 2.0 * first * x[..., size - 1] - second


def cost_of(law):
    if law != "Categorical":
        return cost
    table = [float(cost(np.eye(4)[k])) for k in range(4)]
    return lambda k: sum(table[j] * (k == j) for j in range(4))


def control_variate(x):
    return (0.7 * x[..., 0] * x[..., 1] - x[..., 2] ** 2)[..., None]


def expectation(law, a):
    """Of the cost, enumerated."""
    if law == "Bernoulli":
        p = 1.0 / (1.0 + np.exp(-a))
        rows = [np.array(b) for b in itertools.product((0.0, 1.0), repeat=3)]
        return sum(np.prod(np.where(b > 0, p, 1 - p)) * cost(b) for b in rows)
    p = np.exp(a) / np.exp(a).sum()
    return sum(p[k] * cost(np.eye(4)[k]) for k in range(4))


def exact_gradient(law):
    """By central differences of the enumerated expectation."""
    a, steps = np.array(LOGITS[law]), 1e-5 * np.eye(len(LOGITS[law]))
    return np.array([(expectation(law, a + s) - expectation(law, a - s)) / 2e-5 for s in steps])


COMPILED = {"jax": jax.jit, "torch": lambda fn: fn}


@functools.cache
def estimate(backend, law, estimator):
    """The gradient and the cost of a hundred thousand draws; the noise is one on both backends."""
    make = BACKENDS[backend]
    logits = make(np.tile(LOGITS[law], (100_000, 1)))
    options = {"control_variate": control_variate} if estimator == "relax" else {}
    if estimator == "rebar":
        options = {"temperature": 0.4, "eta": 0.8}

    def run(logits, drawn):
        given = {"estimator": estimator, "law": law, **options}
        out = local_gradient(cost_of(law), logits, drawn, **given)
        return out.gradient, out.cost

    found = COMPILED[backend](run)(logits, noise(estimator, logits, law, make))
    return [np.asarray(x) for x in found]


@pytest.mark.parametrize(("law", "estimator"), CASES)
def test_mean_gradient_and_cost_are_exact(law, estimator):
    h, costs = estimate("jax", law, estimator)
    distance = costs.mean() - expectation(law, np.array(LOGITS[law]))
    assert abs(distance) < 4 * costs.std() / np.sqrt(len(costs))
    error = h.std(0) / np.sqrt(len(h))
    exact = exact_gradient(law)
    # One that sums exactly has no error but that of the central differences.
    assert np.all(np.abs(h.mean(0) - exact) < 4 * error + 1e-8)
    assert np.linalg.norm(error) < 0.05 * np.linalg.norm(exact)


@pytest.mark.parametrize(("law", "estimator"), CASES)
def test_backends_agree(law, estimator):
    for ours, theirs in zip(*(estimate(b, law, estimator) for b in BACKENDS), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-8)


@pytest.mark.parametrize(("law", "estimator"), CASES)
def test_nothing_is_left_to_differentiate_but_the_cost(law, estimator):
    logits = torch.tensor(LOGITS[law], requires_grad=True)
    factor = torch.ones((), requires_grad=True)
    options = {}
    if estimator == "relax":
        options = {"control_variate": lambda x: factor * control_variate(x)}
    drawn = noise(estimator, logits, law, torch.as_tensor)
    out = local_gradient(
        lambda x: factor * cost_of(law)(x), logits, drawn, estimator=estimator, law=law, **options
    )
    assert not out.gradient.requires_grad
    assert not out.value.requires_grad
    assert out.control is None or not out.control.requires_grad
    assert out.cost.requires_grad


@pytest.mark.parametrize("backend", BACKENDS)
def test_extremes_are_finite(backend):
    make = BACKENDS[backend]
    values = np.array([[-60.0, 60.0, 0.0], [60.0, 60.0, -60.0]], dtype=np.float32)
    logits = make(values)
    given, names = {}, []
    for law, estimator in CASES:
        given[law, estimator] = noise(estimator, logits, law, lambda x: make(x.astype(np.float32)))

    def run(logits, *drawn):
        found = []
        names.clear()
        for (law, estimator), each in zip(given, drawn, strict=True):
            options = {"control_variate": lambda x: x[..., :1]} if estimator == "relax" else {}
            f = (lambda k: 1.0 * (k == 0)) if law == "Categorical" else (lambda x: x[..., 0] * 3)
            options |= {"estimator": estimator, "law": law}
            for temperature in (0.05, 10.0) if estimator in ("rebar", "relax") else (1.0,):
                names.append((law, estimator, temperature))
                out = local_gradient(
                    _as_float(f, backend), logits, each, temperature=temperature, **options
                )
                found.append(out.gradient)
        return found

    for gradient, name in zip(COMPILED[backend](run)(logits, *given.values()), names, strict=True):
        assert np.all(np.isfinite(np.asarray(gradient))), name


def _as_float(f, backend):
    if backend == "jax":
        return lambda x: jnp.asarray(f(x), jnp.float32)
    return lambda x: f(x).to(torch.float32)


def test_errors_name_what_is_allowed():
    logits = jnp.zeros((2, 3))
    drawn = noise("disarm", logits, "Categorical", jnp.asarray)
    with pytest.raises(ValueError, match="known: score, rloo, disarm"):
        local_gradient(cost, logits, drawn, estimator="reinforce")
    with pytest.raises(ValueError, match="known: Bernoulli, Categorical, OneHotCategorical"):
        local_gradient(cost, logits, drawn, law="Poisson")
    with pytest.raises(ValueError, match=r"does not take Categorical; those that do: .*relax"):
        local_gradient(cost_of("Categorical"), logits, drawn, law="Categorical")
    with pytest.raises(ValueError, match="relax needs control_variate"):
        local_gradient(cost, logits, drawn, estimator="relax")
