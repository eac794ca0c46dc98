"""What an estimator may know about a NumPyro distribution: its law and its extension."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpyro.distributions as dist
from numpyro.distributions.util import scale_and_mask

from relaxppl.common.laws import Laws
from relaxppl.estimators import laws
from relaxppl.estimators.counts import Binomial, NegativeBinomial, Poisson
from relaxppl.numpyro.registry import HOST
from relaxppl.relaxations.binary import probs_to_logits


def law_of(fn: Any) -> laws.Law:
    """Returns the law of a distribution that has one.

    :returns: a law whose logits have the shape (*batch_shape, *event_shape) of ``fn``, with the K
        classes after it for an integer Categorical.
    """
    kind, base = law_type(fn), base_of(fn)
    assert kind is not None
    shape = tuple(fn.batch_shape) + tuple(fn.event_shape)
    if kind is laws.Categorical:
        logits = base.logits
        shape = (*shape, logits.shape[-1])
    elif isinstance(base, dist.BernoulliProbs):
        logits = probs_to_logits(jnp.asarray(base.probs, dtype=jnp.result_type(float, base.probs)))
    else:
        logits = base.logits
    logits = jnp.asarray(logits, dtype=jnp.result_type(float, logits))
    return kind(jnp.broadcast_to(logits, shape))


def stopped(fn: Any) -> Any:
    """Returns the distribution with its parameters stopped."""
    return jax.tree.map(jax.lax.stop_gradient, fn)


LAWS = Laws(
    HOST,
    known={
        dist.BernoulliProbs: laws.Bernoulli,
        dist.BernoulliLogits: laws.Bernoulli,
        dist.CategoricalProbs: laws.Categorical,
        dist.CategoricalLogits: laws.Categorical,
    },
    counts={
        dist.Poisson: Poisson,
        dist.BinomialProbs: Binomial,
        dist.BinomialLogits: Binomial,
        dist.GeometricProbs: NegativeBinomial,
        dist.GeometricLogits: NegativeBinomial,
        # The negative binomials are of this class.
        dist.GammaPoisson: NegativeBinomial,
    },
    how=(law_of, scale_and_mask),
)
base_of, unmasked = LAWS.base_of, LAWS.unmasked
law_type, count_type = LAWS.law_type, LAWS.count_type
soft_log_prob, extended = LAWS.soft_log_prob, LAWS.extended
