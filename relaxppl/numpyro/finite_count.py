"""A count with finitely many values and a free probability for each."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpyro.distributions as dist

from relaxppl.numpyro.distributions import GeneralizedGumbelSoftmax
from relaxppl.numpyro.registry import register_relaxation


class FiniteCount(dist.CategoricalLogits):
    """A count k = 0, ..., n - 1 with P(k) = softmax(logits)[k].

    To the estimators it is a Categorical; under ``relax`` it is a relaxed count, as the Poisson or
    the binomial law of the model is that it is the guide of.

    :param logits: log probabilities up to a constant, (*batch, n).
    """


def _relaxed(distribution: Any, temperature: Any) -> GeneralizedGumbelSoftmax:
    logits: jax.Array = distribution.logits
    values = jnp.arange(logits.shape[-1], dtype=logits.dtype)
    return GeneralizedGumbelSoftmax(values, temperature, logits=logits)


register_relaxation(FiniteCount, _relaxed)
