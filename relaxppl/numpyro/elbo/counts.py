"""What the coupled differences may know about a NumPyro distribution: a law of counts."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpyro.distributions as dist

from relaxppl.estimators.counts import Binomial, Count, NegativeBinomial, Poisson
from relaxppl.numpyro.elbo.laws import base_of, count_type
from relaxppl.relaxations.binary import probs_to_logits


def count_of(fn: Any) -> Count | None:
    """Returns the law of counts of a distribution, its parameters expanded, or None."""
    kind, base = count_type(fn), base_of(fn)
    if kind is None:
        return None
    shape = tuple(fn.batch_shape) + tuple(fn.event_shape)

    def whole(x: Any) -> jax.Array:
        return jnp.broadcast_to(jnp.asarray(x, dtype=jnp.result_type(float, x)), shape)

    if kind is Poisson:
        return Poisson(whole(base.rate)[None])
    if isinstance(base, dist.GammaPoisson):
        # Traced numbers may be parameters, others cannot.
        learned = isinstance(base.concentration, jax.core.Tracer)
        return NegativeBinomial(-jnp.log(whole(base.rate)), whole(base.concentration), learned)
    probs = isinstance(base, (dist.BinomialProbs, dist.GeometricProbs))
    logits = probs_to_logits(whole(base.probs)) if probs else whole(base.logits)
    if kind is Binomial:
        return Binomial(logits, whole(jnp.asarray(base.total_count, logits.dtype)))
    return NegativeBinomial(-logits, jnp.ones_like(logits), learned=False)
