"""Pyro's distributions inside torch's transformations: vmap, jit.trace and compile."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from tests.adapter import HOSTS, called
from tests.hosts.conformance.rows import DENSITY, ROWS, each, value, variants
from tests.relaxations.case import Case, reference_log_prob, reference_samples

HOST = HOSTS["pyro"]


@pytest.fixture(autouse=True)
def _without_validation():
    # torch.compile turns it off when it is first used, and never on again.
    distribution = torch.distributions.Distribution
    before = distribution._validate_args
    distribution.set_default_validate_args(False)
    yield
    distribution.set_default_validate_args(before)


def made(case: Case, given: tuple[torch.Tensor, ...]) -> Any:
    return HOST.build(case.name, {**dict(zip(case.arrays, given, strict=True)), **case.static})


def settings(case: Case) -> list[list[torch.Tensor]]:
    """The arrays of parameters at two settings."""
    return [[HOST.array(v[n]) for n in case.arrays] for v in variants(case)[:2]]


def points(case: Case) -> np.ndarray:
    """Values (2, *batch, *event) in the support at any of the settings."""
    at_zero = case.name == "StochasticTimesSmooth"
    return np.zeros((2, *case.batch_shape)) if at_zero else reference_samples(case, 3, 2)


def traced(fn: Callable, given: list[torch.Tensor]) -> Callable:
    with warnings.catch_warnings():
        # The hosts' own classes compare shapes in Python, on which the tracer remarks.
        warnings.simplefilter("ignore", torch.jit.TracerWarning)
        warnings.simplefilter("ignore", DeprecationWarning)
        return torch.jit.trace(fn, tuple(given), check_trace=False)


@each(DENSITY)
def test_traced_for_any_parameters(case: Case):
    x, moments = points(case), sorted(case.gives & {"mean", "variance", "entropy"})

    def run(*given):
        dist = made(case, given)
        scored = dist.log_prob(value(HOST, case, x))
        return scored, *(called(dist, what).clone() for what in moments)

    first, second = settings(case)
    compiled = traced(run, first)
    for given, params in zip((first, second), variants(case), strict=False):
        scored, *rest = compiled(*given)
        np.testing.assert_allclose(scored, reference_log_prob(case, x, params), rtol=1e-9)
        for what, found, right in zip(moments, rest, run(*given)[1:], strict=True):
            np.testing.assert_allclose(found, right, rtol=1e-12, err_msg=what)


def sample(dist: Any) -> torch.Tensor:
    return dist.rsample((2,)) if dist.has_rsample else dist.sample((2,))


@each(ROWS)
def test_a_traced_sample(case: Case):
    def run(*given):
        return sample(made(case, given))

    first, second = settings(case)
    compiled = traced(run, first)
    for given in (first, second):
        torch.manual_seed(5)
        one = compiled(*given)
        torch.manual_seed(5)
        np.testing.assert_allclose(one, run(*given), rtol=1e-12)
    # New noise every time: none of it was taken for a constant.
    assert any(not torch.equal(compiled(*first), one) for _ in range(20))


@pytest.mark.compiles_each
@each(DENSITY)
def test_compiled_as_one_graph(case: Case):
    x = value(HOST, case, points(case))
    given = [a.requires_grad_() for a in settings(case)[0]]
    dist, graphs = made(case, given), []

    def run(x):
        return dist.log_prob(x).sum(), sample(dist)

    def backend(graph, inputs):
        # No compiler need be installed: the graph is taken as for one, and run as it is.
        graphs.append(graph)
        return graph.forward

    torch.compiler.reset()
    found = []
    for fn in (run, torch.compile(run, backend=backend, fullgraph=True)):
        torch.manual_seed(0)
        total, drawn = fn(x)
        # What the host derives at construction is of both graphs.
        options = {"retain_graph": True, "allow_unused": True, "materialize_grads": True}
        found.append((total, drawn, *torch.autograd.grad(total, given, **options)))
    assert len(graphs) == 1
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)


@pytest.mark.filterwarnings("ignore:There is a performance drop")
@each(ROWS)
def test_vmap_over_the_parameters(case: Case):
    x = np.stack([reference_samples(case, 3, 2, p) for p in variants(case)])
    stacked = [HOST.array(np.stack([v[n] for v in variants(case)])) for n in case.arrays]

    def run(x, *given):
        dist = made(case, given)
        return sample(dist), dist.log_prob(x) if case.density else x

    drawn, scored = torch.func.vmap(run, randomness="different")(value(HOST, case, x), *stacked)
    assert tuple(drawn.shape) == (3, 2, *case.batch_shape, *case.event_shape)
    if case.density:
        wanted = [reference_log_prob(case, a, p) for a, p in zip(x, variants(case), strict=True)]
        np.testing.assert_allclose(scored, wanted, rtol=1e-9)
