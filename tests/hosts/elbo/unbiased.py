"""The check of unbiasedness on NumPyro: the mean of many gradients against the exact one."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpyro import handlers

from tests.estimators.distance import distance
from tests.hosts.elbo.numpyro_case import Case


class Outcome(NamedTuple):
    worst: float
    """The largest distance from the exact gradient or bound, in standard errors."""
    error: float
    """The gradient's standard error, relative to its norm."""
    variance: float
    """The summed variance of one gradient in the parameters of model and guide."""


def own_parameters(elbo: Any, guide: Any) -> dict[str, jax.Array]:
    """Returns what the prepared guide declares, networks moved away from zero."""
    prepared = handlers.seed(elbo.prepare(guide), rng_seed=0)
    trace = handlers.trace(prepared).get_trace()
    rng = np.random.default_rng(0)
    out = {}
    for name, site in trace.items():
        if site["type"] == "mutable":
            out[name] = site["value"] + 0.4
        elif site["type"] == "param" and (".estimator." in name or ".baseline." in name):
            shape = jnp.shape(site["value"])
            moved = 0.5 * rng.normal(size=shape) if "weight" in name or "bias" in name else 0.0
            out[name] = site["value"] + moved
    return out


def measure(
    elbo: Any,
    case: Case,
    draws: int = 100_000,
    infer: dict[str, Any] | None = None,
    seed: int = 0,
    prepare: bool = False,
) -> Outcome:
    """Returns how far the mean of many gradients lies from the exact gradient."""
    guide = partial(case.guide, case.infer if infer is None else infer)
    own = own_parameters(elbo, guide) if prepare else {}
    params = case.values()
    exact_value, exact = case.gradient()

    def one(key: Any) -> Any:
        def loss(params: Any) -> Any:
            return elbo.loss(key, {**params, **own}, case.model, guide)

        return jax.value_and_grad(loss)(params)

    @jax.jit
    def moments(key: Any, truth: Any) -> Any:
        samples = jax.vmap(one)(jax.random.split(key, draws))
        gaps = jax.tree.map(jnp.subtract, samples, truth)
        return jax.tree.map(lambda x: (jnp.mean(x, 0), jnp.var(x, 0)), gaps)

    truth = exact_value, {**exact}
    (gap, variance), grads = moments(jax.random.key(seed), truth)
    scores = [distance(gap, variance, draws, exact_value)]
    total = norm = 0.0
    for name, truth in exact.items():
        gap, variance = (np.asarray(x) for x in grads[name])
        scores.append(distance(gap, variance, draws, truth))
        total, norm = total + float(variance.sum()), norm + float((truth**2).sum())
    return Outcome(max(scores), float(np.sqrt(total / draws / norm)), total)
