"""The Laplace bridge against the published formulas, element by element, and the Dirichlet."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpyro.distributions as numpyro_dist
import pyro.distributions as pyro_dist
import pytest

from tests.adapter import HOSTS, Host

CONCENTRATION = np.array([[2.0, 3.0, 5.0, 0.4], [0.5, 1.0, 30.0, 7.0]])
host_pairs = pytest.mark.parametrize("host", HOSTS.values(), ids=HOSTS.keys())


def dirichlet(host: Host, concentration: np.ndarray) -> Any:
    module = numpyro_dist if host.name == "numpyro" else pyro_dist
    return module.Dirichlet(host.array(concentration))


def forward(a: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and covariance on the plane of zero sum, term by term."""
    k = len(a)
    covariance = np.empty((k, k))
    for i in range(k):
        for j in range(k):
            shared = (1 / a[i] + 1 / a[j] - sum(1 / a) / k) / k
            covariance[i, j] = (1 / a[i] if i == j else 0.0) - shared
    return np.log(a) - np.log(a).mean(), covariance


def backward(mean: np.ndarray, covariance: np.ndarray) -> np.ndarray:
    k = len(mean)
    centre = np.eye(k) - 1 / k
    mean, covariance = centre @ mean, centre @ covariance @ centre
    return np.array(
        [
            (1 - 2 / k + np.exp(mean[i]) / k**2 * np.exp(-mean).sum()) / covariance[i, i]
            for i in range(k)
        ]
    )


@host_pairs
def test_bridge_keeps_mean_and_full_covariance(host: Host):
    normal = host.rx.laplace_bridge(dirichlet(host, CONCENTRATION))
    assert tuple(normal.batch_shape) == (2,)
    assert tuple(normal.event_shape) == (4,)
    for row, a in enumerate(CONCENTRATION):
        mean, covariance = forward(a)
        np.testing.assert_allclose(host.numpy(normal.loc)[row], mean, atol=1e-14)
        found = host.numpy(normal.zero_sum_covariance)[row]
        np.testing.assert_allclose(found, covariance, atol=1e-14)
        np.testing.assert_allclose(found.sum(0), 0.0, atol=1e-14)


@host_pairs
def test_law_is_that_of_the_singular_gaussian(host: Host):
    # The printed covariance plus a constant: definite, and the same after the softmax.
    normal = host.rx.laplace_bridge(dirichlet(host, CONCENTRATION))
    means, covariances = zip(*map(forward, CONCENTRATION), strict=True)
    params = {"loc": np.array(means), "covariance_matrix": np.array(covariances) + 0.5}
    dense = host.make("LogisticNormalSoftmax", params)
    points = np.random.default_rng(0).dirichlet(np.ones(4), (20, 2))
    expected = host.log_prob(dense, points)
    np.testing.assert_allclose(host.log_prob(normal, points), expected, rtol=1e-10)


@host_pairs
def test_bridge_round_trips(host: Host):
    bridge, inverse = host.rx.laplace_bridge, host.rx.laplace_bridge_inverse
    back = inverse(bridge(dirichlet(host, CONCENTRATION)))
    np.testing.assert_allclose(host.numpy(back.concentration), CONCENTRATION, rtol=1e-13)


GAUSSIANS = {
    "scale": {"scale": np.array([0.5, 0.9, 0.7, 1.1])},
    "scale_tril": {"scale_tril": np.tril(np.full((4, 4), 0.3)) + 0.5 * np.eye(4)},
    "covariance_matrix": {"covariance_matrix": 0.2 + np.diag([0.5, 0.3, 0.9, 1.2])},
    "cov_factor": {
        "cov_factor": np.array([[0.5], [-0.3], [0.8], [0.1]]),
        "cov_diag": np.array([0.5, 0.3, 0.9, 1.2]),
    },
}


@host_pairs
@pytest.mark.parametrize("label", GAUSSIANS)
def test_inverse_projects_any_parameterisation_onto_the_plane(host: Host, label: str):
    loc = np.array([0.7, -0.2, 1.9, 0.4])
    given = GAUSSIANS[label]
    normal = host.make("LogisticNormalSoftmax", {"loc": loc, **given})
    covariance = {
        "scale": lambda scale: np.diag(scale**2),
        "scale_tril": lambda scale_tril: scale_tril @ scale_tril.T,
        "covariance_matrix": lambda covariance_matrix: covariance_matrix,
        "cov_factor": lambda cov_factor, cov_diag: cov_factor @ cov_factor.T + np.diag(cov_diag),
    }[label](**given)
    found = host.rx.laplace_bridge_inverse(normal)
    expected = backward(loc, covariance)
    np.testing.assert_allclose(host.numpy(found.concentration), expected, rtol=1e-12)


@host_pairs
def test_spread_is_the_dirichlets_to_a_few_percent(host: Host):
    a = np.array([3.0, 4.0, 6.0])
    normal = host.rx.laplace_bridge(dirichlet(host, a))
    spread = host.samples(normal, 0, (200_000,)).std(0)
    exact = np.sqrt(a / a.sum() * (1 - a / a.sum()) / (a.sum() + 1))
    np.testing.assert_allclose(spread, exact, rtol=0.05)


@host_pairs
def test_expanded_laws_keep_their_batch(host: Host):
    law = dirichlet(host, CONCENTRATION).expand((3, 2))
    normal = host.rx.laplace_bridge(law)
    assert tuple(normal.batch_shape) == (3, 2)
    back = host.rx.laplace_bridge_inverse(normal.expand((5, 3, 2)))
    assert tuple(back.batch_shape) == (5, 3, 2)
    np.testing.assert_allclose(host.numpy(back.concentration)[4, 1], CONCENTRATION, rtol=1e-13)


@host_pairs
def test_gradient_reaches_the_concentration(host: Host):
    module = numpyro_dist if host.name == "numpyro" else pyro_dist
    point = np.array([0.1, 0.2, 0.3, 0.4])

    def log_prob(inputs):
        normal = host.rx.laplace_bridge(module.Dirichlet(inputs["a"]))
        return normal.log_prob(host.array(point))

    a = CONCENTRATION[0]
    grad = host.value_and_grad(log_prob, {"a": a})[1]["a"]

    def value(a):
        return float(host.value_and_grad(log_prob, {"a": a})[0])

    steps = 1e-5 * np.eye(4)
    numeric = [(value(a + step) - value(a - step)) / 2e-5 for step in steps]
    np.testing.assert_allclose(grad, numeric, rtol=1e-6)


@host_pairs
def test_other_laws_are_refused(host: Host):
    module = numpyro_dist if host.name == "numpyro" else pyro_dist
    with pytest.raises(TypeError, match="takes a Dirichlet, got Normal"):
        host.rx.laplace_bridge(module.Normal(0.0, 1.0))
    with pytest.raises(TypeError, match="takes a LogisticNormalSoftmax, got Dirichlet"):
        host.rx.laplace_bridge_inverse(dirichlet(host, CONCENTRATION))
