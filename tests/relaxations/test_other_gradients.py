"""What ReinMax and Gumbel-Rao promise of a straight-through gradient: its mean and its variance."""

from __future__ import annotations

from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special

import relaxppl.numpyro as rn
from tests.adapter import HOSTS, Host
from tests.relaxations.cases import name_of

ALL_HOSTS = pytest.mark.parametrize("host", HOSTS.values(), ids=name_of)
RNG = np.random.default_rng(5)
SITES, K = 2, 3
MATRIX, LINEAR = RNG.normal(size=(SITES * K, SITES * K)), RNG.normal(size=SITES * K)
LOGITS = RNG.normal(size=(SITES, K))


def quadratic(x):
    return ((x @ MATRIX) * x).sum(-1) + x @ LINEAR


def gradients(host: Host, make, noise, logits, cost) -> np.ndarray:
    """The gradient in the logits of a cost of one sample, for each row of the noise."""

    def total(given):
        value = make(given["logits"]).from_noise(host.array(noise))
        return cost(value.reshape(len(noise), -1)).sum()

    copies = np.broadcast_to(logits, (len(noise), *logits.shape))
    return host.value_and_grad(total, {"logits": copies})[1]["logits"]


def with_arrays(host: Host):
    matrix, linear = host.array(MATRIX), host.array(LINEAR)
    return lambda x: ((x @ matrix) * x).sum(-1) + x @ linear


@ALL_HOSTS
def test_reinmax_has_no_bias_for_a_quadratic_cost_of_classes(host: Host):
    """By enumeration of all classes of two sites, against the derivative of the exact mean."""
    values = np.array(list(product(np.eye(K), repeat=SITES)))
    chance = np.exp((values * special.log_softmax(LOGITS, -1)).sum((-1, -2)))
    score = values - special.softmax(LOGITS, -1)
    exact = np.einsum("v,v,vsk->sk", chance, quadratic(values.reshape(len(values), -1)), score)

    def make(logits):
        return host.build("ReinMaxOneHotCategorical", {"logits": logits})

    # Noise of one large number makes that class.
    found = gradients(host, make, 100 * values, LOGITS, with_arrays(host))
    np.testing.assert_allclose(np.einsum("v,vsk->sk", chance, found), exact, rtol=1e-10)


@ALL_HOSTS
def test_reinmax_has_no_bias_for_a_quadratic_cost_of_bits(host: Host):
    logits = LOGITS.ravel()
    p = special.expit(logits)
    values = np.array(list(product((0.0, 1.0), repeat=len(p))))
    chance = np.where(values == 1, p, 1 - p).prod(-1)
    exact = np.einsum("v,v,vs->s", chance, quadratic(values), values - p)

    def make(logits):
        return host.build("ReinMaxBernoulli", {"logits": logits})

    found = gradients(host, make, 1e-9 + (1 - 2e-9) * (1 - values), logits, with_arrays(host))
    np.testing.assert_allclose(np.einsum("v,vs->s", chance, found), exact, rtol=1e-10)


PLAIN = {
    "GumbelRaoOneHotCategorical": ("RelaxedOneHotCategoricalStraightThrough", LOGITS[:1]),
    "GumbelRaoBernoulli": ("RelaxedBernoulliStraightThrough", LOGITS[0, :2]),
}


@ALL_HOSTS
@pytest.mark.parametrize("name", PLAIN)
def test_gumbel_rao_has_the_mean_of_straight_through_and_less_variance(host: Host, name: str):
    plain, logits = PLAIN[name]
    weights = host.array(LINEAR[: logits.size])
    found = []
    for kind, extra, seed in (name, {"num_samples": 20}, 1), (plain, {}, 2):

        def make(logits, kind=kind, extra=extra):
            return host.build(kind, {"temperature": host.array(0.4), "logits": logits, **extra})

        noise = host.noise(make(host.array(logits)), seed, (20_000,))
        # A cost that is not linear, so that the slope depends on the value.
        found.append(gradients(host, make, noise, logits, lambda x: (x @ weights) ** 3))
    averaged, single = found
    error = np.sqrt((averaged.var(0) + single.var(0)) / len(averaged))
    assert (np.abs(averaged.mean(0) - single.mean(0)) < 4 * error).all()
    assert (averaged.var(0) < 0.7 * single.var(0)).all()


OF_A_NUMBER = {
    "ReinMaxBernoulli": lambda x: rn.ReinMaxBernoulli(logits=x),
    "ReinMaxOneHotCategorical": lambda x: rn.ReinMaxOneHotCategorical(probs=[x, 0.6 - x, 0.4]),
    "GumbelRaoBernoulli": lambda x: rn.GumbelRaoBernoulli(x, logits=0.3),
    "GumbelRaoOneHotCategorical": lambda x: rn.GumbelRaoOneHotCategorical(x, logits=LOGITS[0]),
    "SubsetStraightThrough": lambda x: rn.SubsetStraightThrough(2, logits=[x, 0.0, 0.0]),
    "GumbelSinkhorn": lambda x: rn.GumbelSinkhorn(x, np.eye(3)),
    "RelaxedMarkovChain": lambda x: rn.RelaxedMarkovChain(x, LOGITS[0], np.zeros((1, 3, 3))),
}


@pytest.mark.parametrize(
    "name",
    [
        # Operation by operation; bits, and a class that is given a list.
        pytest.param(
            n,
            marks=()
            if n in ("ReinMaxBernoulli", "GumbelRaoOneHotCategorical")
            else pytest.mark.long,
        )
        for n in OF_A_NUMBER
    ],
)
def test_a_plain_python_number_has_the_gradient_of_an_array(name: str):
    """NumPyro's users write ``jax.grad`` at a number, which has no dtype of its own."""

    def total(x):
        value = OF_A_NUMBER[name](x).sample(jax.random.key(2)).ravel()
        return (value * jnp.arange(1.0, len(value) + 1)).sum()

    gradient = jax.grad(total)
    assert gradient(0.4) == gradient(jnp.asarray(0.4)) != 0.0
