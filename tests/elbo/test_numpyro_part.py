"""The variance's objective on a random part of the batch has the mean of that on the whole."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest

import relaxppl.numpyro as rx

ROWS = 6
X = np.linspace(-1.5, 2.0, ROWS)
OWN = {"b.estimator.temperature": 0.8, "b.estimator.eta": 0.9}


def passed(plate):
    """A program that takes its batch, and a plate that says how long the batch is."""

    def model(x):
        with plate(x):
            b = numpyro.sample("b", dist.Bernoulli(logits=0.4 * x))
            c = numpyro.sample("c", dist.Bernoulli(logits=b - 0.5))
            numpyro.sample("x", dist.Normal(b * x + c, 0.7), obs=x)

    def guide(x):
        q = numpyro.param("q", jnp.array(0.3))
        with plate(x):
            b = numpyro.sample("b", dist.Bernoulli(logits=q * x + 0.2))
            numpyro.sample("c", dist.Bernoulli(logits=0.8 * b), infer={"estimator": "score"})

    return model, guide, (jnp.asarray(X),)


def subsampled():
    """A program whose plate chooses rows of data that it knows."""

    def model():
        with numpyro.plate("data", ROWS, subsample_size=4) as rows:
            x = jnp.asarray(X)[rows]
            b = numpyro.sample("b", dist.Bernoulli(logits=0.4 * x))
            numpyro.sample("x", dist.Normal(b * x, 0.7), obs=x)

    def guide():
        q = numpyro.param("q", jnp.array(0.3))
        with numpyro.plate("data", ROWS, subsample_size=4) as rows:
            numpyro.sample("b", dist.Bernoulli(logits=q * jnp.asarray(X)[rows] + 0.2))

    return model, guide, ()


def whole(x):
    return numpyro.plate("data", len(x))


PROGRAMS = {
    "argument": passed(whole),
    "argument of a larger set": passed(
        lambda x: numpyro.plate("data", 4 * ROWS, subsample_size=len(x))
    ),
    "subsample": subsampled(),
}


def gradients(program, draws, **options):
    """Returns many gradients, of the temperature and of the guide's parameter."""
    model, guide, args = program
    elbo = rx.REBAR_ELBO(**options)
    params = {"q": 0.3, **OWN}

    @jax.jit
    def many(keys):
        def one(key):
            return jax.grad(lambda p: elbo.loss(key, p, model, guide, *args))(params)

        return jax.vmap(one)(keys)

    return many(jax.random.split(jax.random.key(0), draws))


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_part_has_the_mean_of_the_whole(name):
    draws = 20_000
    every = gradients(PROGRAMS[name], draws)
    part = gradients(PROGRAMS[name], draws, variance_fraction=0.34)
    # Only temperatures learn on the part.
    for parameter in ("q", "b.estimator.eta"):
        np.testing.assert_allclose(every[parameter], part[parameter])
    a, b = (g["b.estimator.temperature"] for g in (every, part))
    error = np.sqrt((a.var() + b.var()) / draws)
    assert abs(a.mean() - b.mean()) < 4 * error
    # Zero, or a wrong multiple of it, would not pass.
    assert abs(a.mean()) > 12 * error


def test_with_variance_every_some_steps_learn():
    part = gradients(PROGRAMS["argument"], 200, variance_fraction=0.5, variance_every=4)
    assert 25 < np.count_nonzero(part["b.estimator.temperature"]) < 80
    assert np.all(part["q"] != 0)


def test_a_plate_whose_rows_cannot_be_chosen_is_an_error():
    def model():
        with numpyro.plate("data", ROWS):
            numpyro.sample("b", dist.Bernoulli(0.5))

    with pytest.raises(NotImplementedError, match=r"around the sites b .*'data'; none of them sub"):
        gradients((model, model, ()), 1, variance_fraction=0.5)

    def fixed(x):
        return numpyro.plate("data", ROWS)

    with pytest.raises(ValueError, match="shapes") as error:
        gradients(passed(fixed), 1, variance_fraction=0.5)
    assert "ran on 3 of the 6 rows of plate 'data'" in error.value.__notes__[0]
    with pytest.raises(ValueError, match=r"variance_fraction must be in \(0, 1\], got 0"):
        rx.REBAR_ELBO(variance_fraction=0)
