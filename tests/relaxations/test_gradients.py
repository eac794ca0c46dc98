"""Gradients of samples with the noise held, and of log_prob, against differences in float64."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from tests.adapter import HOSTS, Host
from tests.relaxations.case import (
    Case,
    Params,
    element,
    elements,
    reference_log_prob,
    reference_samples,
)
from tests.relaxations.cases import CASES, both, first_of_each, name_of
from tests.relaxations.differences import compare

REPARAMETERIZED = [case for case in CASES if case.reparameterized]
STRAIGHT_THROUGH = [case for case in REPARAMETERIZED if case.surrogate is not None]
PATHWISE = [case for case in REPARAMETERIZED if case.surrogate is None]
DENSITY = [case for case in CASES if case.density]

AGREEING = [
    c for c in CASES if all(hasattr(getattr(h.rx, c.name), "from_noise") for h in HOSTS.values())
]


def not_implied(cases: list[Case]) -> list[tuple[Host, Case]]:
    """Both hosts, but NumPyro where it is held to Pyro's values and gradients to ten digits."""
    held = {case.name for case in AGREEING}
    return [(h, case) for h, case in both(cases) if h.name == "pyro" or case.name not in held]


def common_noise(host: Host, case: Case, n: int = 3) -> np.ndarray:
    return host.noise(host.make(case.name, case.params), 7, (n,))


def weights_like(shape: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng(2).normal(size=shape)


def weighted_samples(host: Host, case: Case, noise: np.ndarray) -> tuple[Callable, np.ndarray]:
    """A random linear function of the samples, and its weights."""
    weights = weights_like((len(noise), *case.batch_shape, *case.event_shape))

    def total(params):
        value = host.build(case.name, params).from_noise(host.array(noise))
        return (value * host.array(weights)).sum()

    return total, weights


def sample_gradient(host: Host, case: Case, noise: np.ndarray) -> tuple[dict, np.ndarray]:
    total, weights = weighted_samples(host, case, noise)
    return host.value_and_grad(total, case.params)[1], weights


@pytest.mark.parametrize(("host", "case"), not_implied(PATHWISE), ids=name_of)
def test_path_gradients_are_the_differences_of_samples(host: Host, case: Case):
    noise = common_noise(host, case)
    grads, weights = sample_gradient(host, case, noise)

    def total(params: Params) -> float:
        dist = host.make(case.name, params, validate=False)
        return float((host.from_noise(dist, noise) * weights).sum())

    assert compare(case, total, grads) > 0
    assert all(np.abs(grad).max() > 0 for grad in grads.values()), "a parameter got no gradient"


@pytest.mark.parametrize(("host", "case"), not_implied(STRAIGHT_THROUGH), ids=name_of)
def test_straight_through_gradients_are_those_of_the_surrogate(host: Host, case: Case):
    noise = common_noise(host, case)
    grads, weights = sample_gradient(host, case, noise)

    def total(params: Params) -> float:
        out = 0.0
        for index, _ in elements(case, params):
            at = (slice(None), *index)
            centre = {"centre": element(case, case.params, index)} if case.held else {}
            soft = case.surrogate(noise[at], **element(case, params, index), **centre)
            out += float((soft * weights[at]).sum())
        return out

    assert compare(case, total, grads) > 0
    assert any(np.abs(grad).max() > 0 for grad in grads.values())


@pytest.mark.compiles_each
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("host", "case"), both(first_of_each(STRAIGHT_THROUGH)), ids=name_of)
def test_straight_through_values_are_exactly_hard(host: Host, case: Case, dtype: str):
    dist = host.make(case.name, case.params, dtype)
    values = host.samples(dist, 3, (500,))
    for index, law in elements(case):
        # Bitwise: 0.99999994 is not 1.
        allowed = law.values.astype(dtype)
        row = values[(slice(None), *index)]
        match = (row[:, None] == allowed).reshape(500, len(allowed), -1).all(-1)
        assert match.any(1).all()


@pytest.mark.parametrize(("host", "case"), not_implied(DENSITY), ids=name_of)
def test_log_prob_gradients_in_the_parameters(host: Host, case: Case):
    values = reference_samples(case, 9, 3)
    weights = weights_like((3, *case.batch_shape))
    # Atoms that move with a parameter: the mass of a fixed value has no derivative in it.
    without = ("values",) if case.name == "GeneralizedGumbelSoftmax" else ()
    if case.name == "StochasticTimesSmooth":
        values = np.zeros_like(values)

    def total(params):
        log_prob = host.build(case.name, params).log_prob(host.array(values))
        return (log_prob * host.array(weights)).sum()

    def reference(params: Params) -> float:
        return float((reference_log_prob(case, values, params) * weights).sum())

    grads = host.value_and_grad(total, case.params)[1]
    assert compare(case, reference, grads, without) > 0


CONTINUOUS = [case for case in DENSITY if not case.discrete]


@pytest.mark.compiles_each
@pytest.mark.parametrize(("host", "case"), both(CONTINUOUS), ids=name_of)
def test_log_prob_gradients_in_the_value(host: Host, case: Case):
    values = reference_samples(case, 10, 6)
    weights = weights_like((6, *case.batch_shape))
    rank = len(case.event_shape)
    inside = (values > 0) & (values < 1)
    values = np.where(inside, values, 0.4) if rank == 0 and inside.any() else values

    def total(inputs):
        dist = host.make(case.name, case.params, validate=False)
        return (dist.log_prob(inputs["value"]) * host.array(weights)).sum()

    grad = host.value_and_grad(total, {"value": values})[1]["value"]
    step = 1e-5
    for position in range(values.shape[-1]) if rank else [None]:
        # On a simplex or its logarithm a move must stay within: along the tangent, to first order.
        move = np.zeros(values.shape)
        if rank == 0:
            move[...] = 1.0
        elif np.allclose(values.sum(-1), 1):
            move[..., position], move[..., -1] = 1.0, -1.0
            move *= values * np.roll(values, 1, -1)
            move -= values * move.sum(-1, keepdims=True)
        elif np.allclose(np.exp(values).sum(-1), 1):
            move[..., position] = 1.0
            move -= np.exp(values[..., position : position + 1])
        else:
            move[..., position] = 0.1
        move *= 0.1 if rank == 0 else 1.0
        up, down = (reference_log_prob(case, values + sign * step * move) for sign in (1, -1))
        numeric = (up - down) / (2 * step)
        exact = (grad * move).reshape(*numeric.shape, -1).sum(-1) / weights
        np.testing.assert_allclose(exact, numeric, rtol=2e-5, atol=1e-5)


@pytest.mark.parametrize("case", AGREEING, ids=str)
def test_hosts_agree_with_the_same_noise(case: Case):
    noise = common_noise(HOSTS["pyro"], case)
    found = []
    for host in HOSTS.values():
        dist = host.make(case.name, case.params)
        value = host.from_noise(dist, noise)
        found.append({"value": value})
        totals = {"": weighted_samples(host, case, noise)[0]} if case.reparameterized else {}
        if case.density:
            points = reference_samples(case, 21, 3)

            def total(params, host=host, points=points):
                return host.build(case.name, params).log_prob(host.array(points)).sum()

            found[-1]["log_prob"] = host.log_prob(dist, points)
            totals["log_prob "] = total
        grads = host.gradients(list(totals.values()), case.params, "float64")
        for what, each in zip(totals, grads, strict=True):
            found[-1].update({what + n: g for n, g in each.items()})
    numpyro, pyro = found
    assert numpyro.keys() == pyro.keys()
    for what, theirs in pyro.items():
        np.testing.assert_allclose(numpyro[what], theirs, rtol=1e-10, atol=1e-10, err_msg=what)
