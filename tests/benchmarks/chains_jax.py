"""A step on the independent sites of ``scaling``, one level deep, in plain JAX.

How long the host and the ELBOs take to compile is held against it: the score function and REBAR
with what it learns, written out site by site, and the host's Adam.
"""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpyro
from jax import random
from jax.lax import stop_gradient as sg
from jax.nn import sigmoid, softplus

from tests.benchmarks import scaling
from tests.benchmarks.reference_sbn_jax import latent_given_hard

Params = dict[str, Any]
LEARNED = {"log_T": math.log(0.5), "eta": 1.0}


def initial_params(case: scaling.Case, estimator: str) -> list[Params]:
    """Returns the parameters of each site."""
    own = LEARNED if estimator == "REBAR" else {}
    zeros = jnp.zeros(case.latents)
    arrays = {"weight": zeros, "slope": zeros, "loc": zeros + 1.0}
    return [arrays | {k: jnp.asarray(v) for k, v in own.items()} for _ in range(case.sites)]


def bound(params: Params, b: Any, a: Any, x: Any) -> Any:
    """log p(b, x) - log q(b) of a row, also at relaxed b; the prior's slope meets no parent."""
    prior = 0.0 * params["slope"]
    log_p = b * prior - softplus(prior)
    log_p += -0.5 * (x - params["loc"] * b) ** 2 - 0.5 * math.log(2.0 * math.pi)
    return (log_p - (b * a - softplus(a))).sum(-1)


def of_site(params: Params, key: Any, x: Any, estimator: str) -> Any:
    """Returns the surrogate of one site, x of shape (rows, latents)."""
    key_b, key_v = random.split(key)
    a = x * params["weight"]
    b = sg((random.logistic(key_b, a.shape) + a > 0).astype(a.dtype))
    value, score = bound(params, b, sg(a), x), b - sg(sigmoid(a))
    h = sg(value)[:, None] * score
    if estimator == "score":
        return value.sum() + (h * a).sum()
    v, frozen, at = random.logistic(key_v, a.shape), sg(params), sg(a)

    def control(T: Any) -> Any:
        z, pull = jax.vjp(lambda logits: latent_given_hard(logits, b, v), at)

        def cost(latent: Any) -> Any:
            soft = bound(frozen, sigmoid(latent / T), at, x)
            return soft.sum(), soft

        gradient, soft = jax.grad(cost, has_aux=True)(z)
        return gradient - pull(gradient)[0] - soft[:, None] * score

    c, pull = jax.vjp(control, jnp.exp(frozen["log_T"]))
    h = sg(h + frozen["eta"] * c)
    (in_temperature,) = pull(2.0 * frozen["eta"] * h)
    in_eta = (2.0 * h * c).sum()
    learned = sg(in_eta) * params["eta"] + sg(in_temperature) * jnp.exp(params["log_T"])
    return value.sum() + (h * a).sum() - learned


def objective(params: list[Params], key: Any, x: Any, estimator: str) -> Any:
    """Returns the surrogate whose gradient trains everything, x of shape (sites, rows, latents)."""
    keys = random.split(key, len(params))
    return sum(of_site(*given, estimator) for given in zip(params, keys, x, strict=True))


def make_step(case: scaling.Case, estimator: str) -> tuple[Any, Any]:
    """Returns a step of Adam, from a state and data to a state and a loss, and its first state."""
    optimiser = numpyro.optim.Adam(1e-3)

    def step(state: Any, x: Any) -> Any:
        inner, key = state
        key, own = random.split(key)

        def loss(params: list[Params]) -> Any:
            return -objective(params, own, x, estimator), None

        (value, _), inner = optimiser.eval_and_update(loss, inner)
        return (inner, key), value

    return step, (optimiser.init(initial_params(case, estimator)), random.key(0))
