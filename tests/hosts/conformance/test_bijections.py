"""Where a law has a density and no atoms, the real line can be mapped onto its support."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpyro.distributions
import torch

from tests.adapter import Host
from tests.hosts.conformance.rows import DENSITY, SMOOTH, over, value
from tests.relaxations.case import Case, reference_samples

BIJECT = {"numpyro": numpyro.distributions.biject_to, "pyro": torch.distributions.biject_to}


def onto(host: Host, case: Case) -> Any:
    return BIJECT[host.name](host.make(case.name, case.params, validate=False).support)


def reals(case: Case, n: int = 4) -> np.ndarray:
    """Points (n, dim) of the real vector space that is mapped onto the support."""
    return np.random.default_rng(4).normal(size=(n, case.first_law.dim))


def of_event(case: Case, y: np.ndarray) -> np.ndarray:
    return y if case.event_shape else y[..., 0]


@over(SMOOTH)
def test_the_reals_are_mapped_onto_the_support_and_back(host: Host, case: Case):
    transform, y = onto(host, case), of_event(case, reals(case))

    inverse = transform._inverse if host.name == "numpyro" else transform.inv

    def there_and_back(y, drawn):
        x = transform(y)
        return x, inverse(x), transform(inverse(drawn))

    drawn = value(host, case, reference_samples(case, 0, 50))
    x, again, found = host.compiled(there_and_back)(host.array(y), drawn)
    assert tuple(x.shape) == (4, *case.event_shape)
    assert host.inside(host.make(case.name, case.params, validate=False), x).all()
    np.testing.assert_allclose(host.numpy(again), y, rtol=1e-6, atol=1e-8)
    # Every sample comes from somewhere.
    np.testing.assert_allclose(host.numpy(found), host.numpy(drawn), rtol=1e-6, atol=1e-9)


@over(SMOOTH)
def test_the_volume_is_that_of_the_base_measure(host: Host, case: Case):
    transform, y, law = onto(host, case), reals(case), case.first_law
    step, d = 1e-5, law.dim

    def both(y):
        x = transform(y)
        return x, transform.log_abs_det_jacobian(y, x)

    moves = step * np.concatenate([np.eye(d), -np.eye(d), np.zeros((1, d))])
    moved = y[:, None] + moves
    x, found = host.compiled(both)(host.array(of_event(case, moved)))
    flat = host.numpy(x).reshape(-1, *case.event_shape)
    at = law.chart.coordinates(flat)
    up, down = np.split(at.reshape(len(y), 2 * d + 1, d)[:, :-1], 2, axis=1)
    jacobian = (up - down) / (2 * step)
    measure = law.chart.log_measure(at).reshape(len(y), -1)[:, -1]
    expected = np.linalg.slogdet(jacobian)[1] + measure
    found = host.numpy(found).reshape(len(y), 2 * d + 1, -1).sum(-1)[:, -1]
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-7)


@over(DENSITY)
def test_a_feasible_value_is_in_the_support(host: Host, case: Case):
    dist = host.make(case.name, case.params, validate=False)
    assert dist.support.event_dim == len(case.event_shape)
    repr(dist.support)
    if host.name == "numpyro":
        prototype = value(host, case, reference_samples(case, 0, 2))
        feasible = dist.support.feasible_like(prototype)
        assert feasible.shape == prototype.shape
        assert host.inside(dist, feasible).all()
