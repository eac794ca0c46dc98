"""What an estimator may know about a NumPyro distribution: its law and its extension."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpyro.distributions as dist
from numpyro.distributions.util import scale_and_mask, sum_rightmost

from relaxppl.estimators import laws
from relaxppl.estimators.local import LAWS
from relaxppl.numpyro.shell import RelaxedDistribution
from relaxppl.relaxations.binary import probs_to_logits

_WRAPPERS = (dist.Independent, dist.MaskedDistribution, dist.ExpandedDistribution)
_BERNOULLI = (dist.BernoulliProbs, dist.BernoulliLogits)
_CATEGORICAL = (dist.CategoricalProbs, dist.CategoricalLogits)


def base_of(fn: Any) -> Any:
    """Returns the distribution inside Independent, Expanded and Masked."""
    while isinstance(fn, _WRAPPERS):
        fn = fn.base_dist
    return fn


def law_type(fn: Any) -> type[laws.Law] | None:
    """Returns the law that the estimators know this distribution by, or None."""
    base = base_of(fn)
    if isinstance(base, RelaxedDistribution):
        name = base.law.hard_law if base.law.discrete else None
        return None if name is None else LAWS[name]
    if isinstance(base, _BERNOULLI):
        return laws.Bernoulli
    return laws.Categorical if isinstance(base, _CATEGORICAL) else None


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


def unmasked(fn: Any) -> Any:
    """Returns the distribution without its mask: a mask changes the density, not the sampling."""
    if isinstance(fn, dist.MaskedDistribution):
        return unmasked(fn.base_dist)
    if isinstance(fn, dist.ExpandedDistribution) and _masked(fn):
        return unmasked(fn.base_dist).expand(fn.batch_shape)
    if isinstance(fn, dist.Independent) and _masked(fn):
        return unmasked(fn.base_dist).to_event(fn.reinterpreted_batch_ndims)
    return fn


def _masked(fn: Any) -> bool:
    while isinstance(fn, _WRAPPERS):
        if isinstance(fn, dist.MaskedDistribution):
            return True
        fn = fn.base_dist
    return False


def stopped(fn: Any) -> Any:
    """Returns the distribution with its parameters stopped."""
    return jax.tree.map(jax.lax.stop_gradient, fn)


def soft_log_prob(fn: Any, value: jax.Array) -> jax.Array | None:
    """Returns the multilinear extension of a discrete law's log probability.

    It equals ``fn.log_prob`` at the hard values and is linear in each coordinate between them; the
    host's own is -inf there.

    :param fn: a distribution over what ``value`` relaxes.
    :param value: (..., *batch_shape, *event_shape), between 0 and 1.
    :returns: (..., *batch_shape), or None where the law has no extension.
    """
    return None if law_type(fn) is laws.Categorical else extended(fn, value)


def extended(fn: Any, value: jax.Array) -> jax.Array | None:
    """Returns :func:`soft_log_prob`; integers have it too, at one-hot vectors."""
    if isinstance(fn, dist.MaskedDistribution):
        inner = extended(fn.base_dist, value)
        return None if inner is None else scale_and_mask(inner, mask=fn._mask)
    if isinstance(fn, dist.ExpandedDistribution):
        inner = extended(fn.base_dist, value)
        if inner is None:
            return None
        return jnp.broadcast_to(inner, jnp.broadcast_shapes(inner.shape, fn.batch_shape))
    if isinstance(fn, dist.Independent):
        inner = extended(fn.base_dist, value)
        return None if inner is None else sum_rightmost(inner, fn.reinterpreted_batch_ndims)
    kind = law_type(fn)
    return None if kind is None else law_of(fn).log_prob(value)
