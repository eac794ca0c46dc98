"""Programs that each ask one thing of an estimator, their exact bounds as in numpyro_cases.py."""

from __future__ import annotations

import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from jax.nn import softplus
from numpyro import handlers

from tests.hosts.elbo.numpyro_case import Case, Params, bits, expectation, mass, normal, param

# Two plates of one length at one dimension: what lies in the second sees the first in reverse.

REVERSED_PARAMS = {"q": [0.5, -0.7, 0.2]}
REVERSED_DATA = np.array([1.5, -0.3, 0.8])


def reversed_loc(b: Any) -> Any:
    return 1.2 * b[..., ::-1] * np.array([1.0, -1.0, 2.0])


def reversed_model() -> None:
    with numpyro.plate("drawn", 3):
        b = numpyro.sample("b", dist.Bernoulli(logits=0.3 * jnp.ones(3)))
    with numpyro.plate("seen", 3):
        numpyro.sample("x", dist.Normal(reversed_loc(b), 0.6), obs=jnp.asarray(REVERSED_DATA))


def reversed_guide(infer: Any = ()) -> None:
    with numpyro.plate("drawn", 3):
        q = dist.Bernoulli(logits=param("q", REVERSED_PARAMS["q"]))
        numpyro.sample("b", q, infer=dict(infer).get("b"))


def reversed_exact(p: Params) -> jax.Array:
    rows = []
    for b in bits(3):
        log_p = mass(0.3, b).sum() + normal(REVERSED_DATA, reversed_loc(b), 0.6).sum()
        rows.append((mass(p["q"], b).sum(), log_p))
    return expectation(rows)


TWO_PLATES = Case("two plates", REVERSED_PARAMS, reversed_model, reversed_guide, reversed_exact)


# A Poisson masked in one of two elements, and what sees both of them unmasked.

MASKED_PARAMS = {"rate": [0.4, -0.3]}


def masked_model() -> None:
    with numpyro.plate("rows", 2):
        with handlers.mask(mask=np.array([True, False])):
            n = numpyro.sample("n", dist.Poisson(1.3))
        numpyro.sample("x", dist.Normal(jnp.sin(n), 0.5), obs=jnp.array([0.4, 0.9]))


def masked_guide(infer: Any = ()) -> None:
    with numpyro.plate("rows", 2), handlers.mask(mask=np.array([True, False])):
        rate = jnp.exp(param("rate", MASKED_PARAMS["rate"]))
        numpyro.sample("n", dist.Poisson(rate), infer=dict(infer).get("n"))


def masked_exact(p: Params) -> jax.Array:
    n = jnp.arange(40.0)
    log_factorial = jax.lax.lgamma(n + 1.0)
    total = 0.0
    for i, (mask, x) in enumerate([(1.0, 0.4), (0.0, 0.9)]):
        log_q = n * p["rate"][i] - jnp.exp(p["rate"][i]) - log_factorial
        log_p = n * np.log(1.3) - 1.3 - log_factorial
        cost = mask * (log_p - log_q) + normal(x, jnp.sin(n), 0.5)
        total = total - jnp.sum(jnp.exp(log_q) * cost)
    return total


MASKED_COUNTS = Case("masked counts", MASKED_PARAMS, masked_model, masked_guide, masked_exact)


# What the guide makes of a value beside its other draws: a tensor that it leaves the model, and the
# weight of another site's densities.

BESIDE_PARAMS = {"qa": 0.4, "qb": -0.3}
LEFT: dict[str, Any] = {}


def beside_model() -> None:
    a = numpyro.sample("a", dist.Bernoulli(0.3))
    with handlers.scale(scale=1.0 + a):
        b = numpyro.sample("b", dist.Bernoulli(0.6))
    numpyro.sample("x", dist.Normal(LEFT["loc"] + b, 0.8), obs=1.1)


def beside_guide(infer: Any = ()) -> None:
    logits = param("qa", 0.4)
    a = numpyro.sample("a", dist.Bernoulli(logits=logits), infer=dict(infer).get("a"))
    LEFT["loc"] = 2.0 * a - 0.5
    with handlers.scale(scale=1.0 + a):
        logits = param("qb", -0.3)
        numpyro.sample("b", dist.Bernoulli(logits=logits), infer=dict(infer).get("b"))


def beside_exact(p: Params) -> jax.Array:
    total = jnp.zeros(())
    for a, b in itertools.product((0.0, 1.0), repeat=2):
        log_a, log_b = mass(p["qa"], a), mass(p["qb"], b)
        kl = log_a - np.log(0.3 if a else 0.7) + (1 + a) * (log_b - np.log(0.6 if b else 0.4))
        loss = kl - normal(1.1, 2.0 * a - 0.5 + b, 0.8)
        total = total + jnp.exp(log_a + log_b) * loss
    return total


BESIDE = Case("beside", BESIDE_PARAMS, beside_model, beside_guide, beside_exact)


# Counts: a binomial, and a Poisson whose rate depends on it.

COUNTS_PARAMS = {"q": 0.3, "rate": 0.2, "prior": -0.4}


def counts_model() -> None:
    n = numpyro.sample("n", dist.Binomial(3, logits=param("prior", 0)))
    k = numpyro.sample("k", dist.Poisson(1.5))
    numpyro.sample("x", dist.Normal(0.6 * n - 0.4 * k, 1.0), obs=0.8)


def counts_guide(infer: Any = ()) -> None:
    q = dist.Binomial(3, logits=param("q", 0.3))
    n = numpyro.sample("n", q, infer=dict(infer).get("n"))
    rate = jnp.exp(param("rate", 0.2) + 0.2 * n)
    numpyro.sample("k", dist.Poisson(rate), infer=dict(infer).get("k"))


def counts_exact(p: Params) -> jax.Array:
    def binomial(logits: Any, n: Any) -> Any:
        return np.log([[1], [3], [3], [1]]) + n * logits - 3 * softplus(logits)

    def poisson(log_rate: Any, k: Any) -> Any:
        return k * log_rate - jnp.exp(log_rate) - np.cumsum(np.log(np.maximum(k, 1.0)))

    n, k = np.arange(4.0)[:, None], np.arange(30.0)
    log_q = binomial(p["q"], n) + poisson(p["rate"] + 0.2 * n, k)
    log_p = binomial(p["prior"], n) + poisson(np.log(1.5), k)
    return jnp.sum(expectation([(log_q, log_p + normal(0.8, 0.6 * n - 0.4 * k, 1.0))]))


COUNTS = Case("counts", COUNTS_PARAMS, counts_model, counts_guide, counts_exact)


# What all rows decide comes back to each of them, by way of a site outside of their plate: one of
# the guide, whose density is weighed by what is learned, and one of the model alone.

RETURNING_PARAMS = {"q": [0.3, -0.4], "w": 0.9, "s": 0.2}
RETURNING_DATA = np.array([0.8, -0.3])


def returning_model() -> None:
    g = numpyro.sample("g", dist.Bernoulli(0.5))
    with numpyro.plate("rows", 2):
        z = numpyro.sample("z", dist.Bernoulli(logits=3.0 * g - 1.5))
    u = numpyro.sample("u", dist.Bernoulli(logits=2.0 * z.sum() - 1.5))
    with numpyro.plate("rows", 2):
        numpyro.sample("x", dist.Normal(z + g - u, 1.0), obs=jnp.asarray(RETURNING_DATA))


def returning_guide(infer: Any = ()) -> None:
    with numpyro.plate("rows", 2):
        z = numpyro.sample("z", dist.Bernoulli(logits=param("q", RETURNING_PARAMS["q"])))
    w, s = param("w", RETURNING_PARAMS["w"]), param("s", RETURNING_PARAMS["s"])
    with handlers.scale(scale=1.0 + jax.nn.sigmoid(s)):
        numpyro.sample("g", dist.Bernoulli(logits=w * (2.0 * z.sum() - 2.0)))


def returning_exact(p: Params) -> jax.Array:
    total, scale = jnp.zeros(()), 1.0 + jax.nn.sigmoid(p["s"])
    for z, g, u in itertools.product(bits(2), (0.0, 1.0), (0.0, 1.0)):
        log_z, log_g = mass(p["q"], z).sum(), mass(p["w"] * (2.0 * z.sum() - 2.0), g)
        log_u = mass(2.0 * z.sum() - 1.5, u)
        log_p = mass(0.0, g) + mass(3.0 * g - 1.5, z).sum() + log_u
        log_p = log_p + normal(RETURNING_DATA, z + g - u, 1.0).sum()
        total = total - jnp.exp(log_z + log_g + log_u) * (log_p - log_z - scale * log_g)
    return total


RETURNING = Case("returning", RETURNING_PARAMS, returning_model, returning_guide, returning_exact)
