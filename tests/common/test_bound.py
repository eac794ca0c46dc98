"""The discrete program's bound, by enumeration, whatever relaxation its guide was made with."""

from __future__ import annotations

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
import torch

from tests.adapter import both

WEIGHTS = np.array([[1.0, -0.5, 0.3], [0.2, 0.8, -1.0]])
LOGITS = np.array([0.4, -0.3])
CLASS_LOGITS = np.array([0.5, 0.1, -0.8])
X = np.array([0.9, -0.4])


def programs(host):
    def model():
        z = host.sample("z", host.dist.Bernoulli(host.array([0.3, 0.6])).to_event(1))
        k = host.sample("k", host.rx.OneHotCategorical(probs=host.array([0.2, 0.3, 0.5])))
        with host.plate("data", 2):
            mean = z * (host.array(WEIGHTS) @ k)
            host.sample("x", host.dist.Normal(mean, 0.8), obs=host.array(X))

    def guide():
        logits = host.lib.param("logits", host.array(np.zeros(2)))
        host.sample("z", host.dist.Bernoulli(logits=logits).to_event(1))
        host.sample("k", host.rx.OneHotCategorical(logits=host.array(CLASS_LOGITS)))

    return model, guide


def by_enumeration():
    q = 1 / (1 + np.exp(-LOGITS))
    r = np.exp(CLASS_LOGITS) / np.exp(CLASS_LOGITS).sum()
    total = 0.0
    for z in itertools.product([0, 1], repeat=2):
        for k in range(3):
            z_ = np.array(z)
            weight = np.prod(np.where(z_, q, 1 - q)) * r[k]
            prior = np.prod(np.where(z_, [0.3, 0.6], [0.7, 0.4])) * [0.2, 0.3, 0.5][k]
            likelihood = scipy.stats.norm.logpdf(X, z_ * WEIGHTS[:, k], 0.8).sum()
            total += weight * (np.log(prior) + likelihood - np.log(weight))
    return total


MANY = {"numpyro": 1000, "pyro": 30}


def bounds(host, model, guide, seeds, **options):
    """Estimates of the bound, one a seed; on NumPyro compiled, as a user would."""
    params = {"logits": host.array(LOGITS)}
    options = {"num_particles": MANY[host.name]} | options
    if host.name == "numpyro":
        estimate = jax.jit(
            lambda key: host.rx.discrete_elbo(model, guide, params, rng_key=key, **options)
        )
        return [float(estimate(jax.random.key(seed))) for seed in seeds]
    values = []
    for seed in seeds:
        torch.manual_seed(seed)
        values.append(float(host.rx.discrete_elbo(model, guide, params, **options)))
    return values


def bound(host, model, guide, seed=0, **options):
    return bounds(host, model, guide, [seed], **options)[0]


WAYS = {
    "discrete": lambda host, f: f,
    "relaxed": lambda host, f: host.rx.relax(f, temperature=0.5),
    "annealed": lambda host, f: host.rx.relax(f, temperature=host.rx.LinearSchedule(1, 0.5, 9)),
    "hard concrete": lambda host, f: host.rx.relax(
        f, temperature=0.5, config={"z": host.rx.HardConcrete}
    ),
    "reparam": lambda host, f: host.handlers.reparam(f, config={"z": host.rx.RelaxReparam(0.5)}),
}


@both
@pytest.mark.parametrize("way", WAYS)
def test_against_enumeration(host, way):
    model, guide = (WAYS[way](host, f) for f in programs(host))
    batches = bounds(host, model, guide, range(12))
    error = np.std(batches, ddof=1) / 12**0.5
    assert abs(np.mean(batches) - by_enumeration()) < 4 * error


@both
def test_relax_works_again_afterwards(host):
    model, guide = (WAYS["relaxed"](host, f) for f in programs(host))
    bound(host, model, guide)
    with pytest.raises(ZeroDivisionError):
        bound(host, lambda: 1 / 0, guide)
    value = host.numpy(host.trace(model)["z"]["value"])
    assert np.all((value > 0) & (value < 1))


@both
def test_a_program_written_relaxed_is_refused(host):
    _, guide = programs(host)

    def model():
        with host.plate("two", 2):
            host.sample("z", host.rx.RelaxedBernoulli(0.5, probs=host.array(0.5)))

    with pytest.raises(ValueError, match="'z' is written as a RelaxedBernoulli"):
        bound(host, model, guide)


@both
def test_straight_through_has_the_discrete_law(host):
    def straight(f):
        config = {"z": host.rx.StraightThroughBernoulli, "k": None}
        return host.rx.relax(f, temperature=0.5, config=config)

    model, guide = programs(host)
    assert bound(host, straight(model), straight(guide)) == bound(host, model, guide)

    def written():
        host.sample("z", host.rx.StraightThroughBernoulli(logits=host.array(LOGITS)).to_event(1))
        host.sample("k", host.rx.OneHotCategorical(logits=host.array(CLASS_LOGITS)))

    assert np.isfinite(bound(host, model, written))


@both
def test_vectorized_or_not(host):
    def model():
        with host.plate("data", 2):
            z = host.sample("z", host.dist.Bernoulli(host.array([0.3, 0.6])))
            host.sample("x", host.dist.Normal(2.0 * z, 0.8), obs=host.array(X))

    def guide():
        logits = host.lib.param("logits", host.array(np.zeros(2)))
        with host.plate("data", 2):
            host.sample("z", host.dist.Bernoulli(logits=logits))

    options = {"max_plate_nesting": 1} if host.name == "pyro" else {}
    values = [
        bound(host, model, guide, seed=3, vectorize_particles=flag, **options)
        for flag in (True, False)
    ]
    assert values[0] == pytest.approx(values[1], abs=0.5)
    assert np.all(np.isfinite(values))


def test_numpyro_of_traced_parameters_and_not_compiled():
    from tests.adapter import HOSTS

    host = HOSTS["numpyro"]
    model, guide = (WAYS["relaxed"](host, f) for f in programs(host))

    def estimate(logits):
        key, params = jax.random.key(0), {"logits": logits}
        return host.rx.discrete_elbo(model, guide, params, num_particles=2, rng_key=key)

    logits = jnp.asarray(LOGITS)
    assert float(jax.jit(estimate)(logits)) == pytest.approx(float(estimate(logits)), rel=1e-12)


def test_pyro_takes_the_parameter_store():
    import pyro

    from tests.adapter import HOSTS

    host = HOSTS["pyro"]
    model, guide = programs(host)
    pyro.clear_param_store()
    pyro.param("logits", host.array(LOGITS))
    torch.manual_seed(5)
    from_store = host.rx.discrete_elbo(model, guide, num_particles=20)
    assert from_store == bound(host, model, guide, seed=5, num_particles=20)
    assert isinstance(from_store, float)
