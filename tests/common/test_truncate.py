"""Truncated count laws against SciPy's mass and survival functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import numpyro.distributions as numpyro_dist
import pyro.distributions as pyro_dist
import pytest
import torch
from scipy import stats

import relaxppl.numpyro
import relaxppl.pyro
from tests.adapter import HOSTS, Host

Make = Callable[[Any, Callable], Any]
A, B = np.array([0.3, 0.95]), np.array([0.5, 7.0])


def _each(name: str, *args: Any, numpyro_name: str | None = None) -> Make:
    """Makes a host's distribution of the same name from NumPy arrays."""

    def make(host: Host) -> Any:
        module = numpyro_dist if host.name == "numpyro" else pyro_dist
        chosen = numpyro_name if host.name == "numpyro" and numpyro_name else name
        return getattr(module, chosen)(*map(host.array, args))

    return make


def _logits(name: str, probs: np.ndarray, total_count: np.ndarray | None = None) -> Make:
    def make(host: Host) -> Any:
        logits = host.array(np.log(probs) - np.log1p(-probs))
        module = numpyro_dist if host.name == "numpyro" else pyro_dist
        given = {} if total_count is None else {"total_count": host.array(total_count)}
        return getattr(module, name)(logits=logits, **given)

    return make


def _negative_binomial(host: Host) -> Any:
    if host.name == "numpyro":
        return numpyro_dist.NegativeBinomialProbs(host.array(B), host.array(A))
    return pyro_dist.NegativeBinomial(host.array(B), host.array(A))


def _binomial(host: Host) -> Any:
    module = numpyro_dist if host.name == "numpyro" else pyro_dist
    return module.Binomial(total_count=host.array(np.array([10.0, 40.0])), probs=host.array(A))


def _geometric(host: Host) -> Any:
    module = numpyro_dist if host.name == "numpyro" else pyro_dist
    return module.Geometric(probs=host.array(A))


LAWS = {
    "poisson": (_each("Poisson", np.array([3.0, 20.0])), stats.poisson([3.0, 20.0])),
    "binomial": (_binomial, stats.binom([10, 40], A)),
    "binomial-logits": (_logits("Binomial", A, np.array([10.0, 40.0])), stats.binom([10, 40], A)),
    "geometric": (_geometric, stats.geom(A, loc=-1)),
    "geometric-logits": (_logits("Geometric", A), stats.geom(A, loc=-1)),
    "negative-binomial": (_negative_binomial, stats.nbinom(B, 1 - A)),
    "negative-binomial-logits": (_logits("NegativeBinomial", A, B), stats.nbinom(B, 1 - A)),
    "gamma-poisson": (_each("GammaPoisson", B, A), stats.nbinom(B, A / (1 + A))),
}


def truncate(host: Host, law: Any, *args: Any, **more: Any) -> Any:
    module = relaxppl.numpyro if host.name == "numpyro" else relaxppl.pyro
    return module.truncate(law, *args, **more)


host_pairs = pytest.mark.parametrize("host", HOSTS.values(), ids=HOSTS.keys())


# How long a table is, is found in what the hosts share; NumPyro compiles for each length.
TABLES = [(HOSTS["pyro"], name, tail) for name in LAWS for tail in (1e-6, 0.05)]
TABLES += [
    pytest.param(HOSTS["numpyro"], name, 1e-6, marks=() if name == "poisson" else pytest.mark.long)
    for name in LAWS
]


@pytest.mark.parametrize(("host", "name", "tail"), TABLES, ids=lambda x: getattr(x, "name", x))
def test_table_is_as_short_as_the_tail_allows_and_ends_in_it(host: Host, name: str, tail: float):
    make, reference = LAWS[name]
    dist = truncate(host, make(host), 0.5, tail, hard=True)
    values = host.numpy(dist.values)
    n = values.shape[-1]
    np.testing.assert_array_equal(np.broadcast_to(values, (2, n))[0], np.arange(n))
    assert reference.sf(n - 1).max() <= tail < reference.sf(n - 2).max()
    k = np.arange(n)[:, None]
    expected = np.where(k == n - 1, reference.sf(n - 2), reference.pmf(k))
    found = host.log_prob(dist, np.broadcast_to(k, (n, 2)))
    np.testing.assert_allclose(np.exp(found), expected, rtol=1e-8, atol=1e-300)
    np.testing.assert_allclose(host.moment(dist, "mean"), (k * expected).sum(0), rtol=1e-8)


@host_pairs
@pytest.mark.parametrize("size", [4, 60])
def test_a_given_size_needs_no_tail(host: Host, size: int):
    # Nearly all of the second law lies far beyond the table.
    rates = np.array([3.0, 900.0])
    reference = stats.poisson(rates)
    dist = truncate(host, _poisson(host, host.array(rates)), 0.5, size=size)
    expected = np.append(reference.pmf(np.arange(size - 1)[:, None]).T, np.zeros((2, 1)), 1)
    expected[:, -1] = reference.sf(size - 2)
    np.testing.assert_allclose(host.numpy(dist.values_probs), expected, rtol=1e-9, atol=1e-300)


@host_pairs
def test_values_beyond_a_binomial_are_impossible_and_harmless(host: Host):
    dist = truncate(host, _binomial(host), 0.5, hard=True)
    assert host.log_prob(dist, np.full(2, 25.0))[0] == -np.inf
    assert np.isfinite(host.moment(dist, "entropy")).all()
    assert host.samples(dist, 0, (5000,))[:, 0].max() <= 10


@host_pairs
def test_gradient_reaches_the_rate(host: Host):
    def mean(params):
        law = _poisson(host, params["rate"])
        return truncate(host, law, 0.5, hard=True).mean.sum()

    # Outside of a compiler the size follows the rate's value, also under a gradient.
    with jax.disable_jit():
        grad = host.value_and_grad(mean, {"rate": np.array([3.0, 9.0])})[1]["rate"]
    np.testing.assert_allclose(grad, 1.0, atol=1e-4)


def _poisson(host: Host, rate: Any) -> Any:
    return (numpyro_dist if host.name == "numpyro" else pyro_dist).Poisson(rate)


@host_pairs
def test_batch_of_the_law_and_of_the_temperature_broadcast(host: Host):
    law = _poisson(host, host.array([2.0, 5.0])).expand((3, 2))
    dist = truncate(host, law, host.array(np.full((4, 1, 1), 0.5)))
    assert tuple(dist.batch_shape) == (4, 3, 2)
    assert host.samples(dist, 0, (7,)).shape == (7, 4, 3, 2)
    assert tuple(dist.weights.batch_shape) == (4, 3, 2)
    weights = host.draw(dist.weights, 0)
    assert tuple(dist.value_of(weights).shape) == (4, 3, 2)


@host_pairs
def test_what_cannot_be_truncated_is_refused(host: Host):
    module = numpyro_dist if host.name == "numpyro" else pyro_dist
    with pytest.raises(TypeError, match=r"Poisson.*Normal.*values and probs"):
        truncate(host, module.Normal(0.0, 1.0), 0.5)
    law = _poisson(host, host.array(3.0))
    for tail in (0.0, 1.0, -1.0, float("nan")):
        with pytest.raises(ValueError, match="tail must be between 0 and 1"):
            truncate(host, law, 0.5, tail)
    for size in (0, -3, 2.5):
        with pytest.raises(ValueError, match="size must be a positive int"):
            truncate(host, law, 0.5, size=size)
    with pytest.raises(ValueError, match="more than 1000000 values"):
        truncate(host, _poisson(host, host.array(1e7)), 0.5)


def test_a_traced_rate_needs_a_size():
    def mean(rate, **more):
        return relaxppl.numpyro.truncate(numpyro_dist.Poisson(rate), 0.5, hard=True, **more).mean

    with pytest.raises(ValueError, match="give size="):
        jax.jit(mean)(3.0)
    assert jax.jit(lambda rate: mean(rate, size=40))(3.0) == pytest.approx(3.0)

    def torch_mean(rate, **more):
        return relaxppl.pyro.truncate(pyro_dist.Poisson(rate), 0.5, hard=True, **more).mean

    rates = torch.tensor([1.0, 3.0], dtype=torch.float64)
    with pytest.raises(ValueError, match="give size="):
        torch.func.vmap(torch_mean)(rates)
    found = torch.func.vmap(lambda rate: torch_mean(rate, size=40))(rates)
    np.testing.assert_allclose(found, rates)
    assert torch.func.grad(torch_mean)(rates[1]) == pytest.approx(1.0, abs=1e-4)
