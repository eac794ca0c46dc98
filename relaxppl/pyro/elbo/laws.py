"""What an estimator may know about a Pyro distribution: its kind, its logits, its extension."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributions as torch_dist
from pyro.distributions import Independent, MaskedDistribution
from pyro.distributions.torch_distribution import ExpandedDistribution
from pyro.distributions.util import scale_and_mask

from relaxppl.estimators.laws import Bernoulli, Categorical, Law, OneHotCategorical
from relaxppl.estimators.local import LAWS
from relaxppl.pyro.shell import RelaxedDistribution

_LAWS: dict[Any, type[Law]] = {
    torch_dist.Bernoulli: Bernoulli,
    torch_dist.OneHotCategorical: OneHotCategorical,
    torch_dist.Categorical: Categorical,
}
WRAPPERS = (Independent, MaskedDistribution, ExpandedDistribution, torch_dist.Independent)


def base_of(fn: Any) -> Any:
    """Returns the distribution inside Independent, Expanded and Masked."""
    while isinstance(fn, WRAPPERS):
        fn = fn.base_dist
    return fn


def law_type(fn: Any) -> type[Law] | None:
    """Returns the estimators' law of a Bernoulli, a one-hot or a categorical, else None."""
    base = base_of(fn)
    if isinstance(base, RelaxedDistribution):
        name = base.law.hard_law if base.law.discrete else None
        return None if name is None else LAWS[name]
    for host, law in _LAWS.items():
        if isinstance(base, host):
            return law
    return None


def law_of(fn: Any) -> Law | None:
    """Returns the law of a distribution, its logits expanded.

    :param fn: a Bernoulli, a OneHotCategorical or a Categorical, wrapped or not; for every other
        distribution the answer is None.
    """
    kind = law_type(fn)
    if kind is None:
        return None
    logits = base_of(fn).logits
    shape = fn.batch_shape + fn.event_shape
    if kind is Categorical:
        shape = shape + logits.shape[-1:]
    return kind(logits if logits.shape == shape else logits.expand(shape))


def unmasked(fn: Any) -> Any:
    """Returns the distribution without its masks: a masked site is drawn all the same."""
    if isinstance(fn, MaskedDistribution):
        return unmasked(fn.base_dist)
    if not isinstance(fn, WRAPPERS):
        return fn
    inner = unmasked(fn.base_dist)
    if inner is fn.base_dist:
        return fn
    if isinstance(fn, torch_dist.Independent):
        return Independent(inner, fn.reinterpreted_batch_ndims)
    return inner.expand(fn.batch_shape)


def soft_log_prob(fn: Any, value: torch.Tensor) -> torch.Tensor | None:
    """Returns the multilinear extension of a discrete law's log probability.

    It equals ``fn.log_prob`` at the hard values and is linear in each coordinate between them.

    :param fn: a distribution over what ``value`` relaxes.
    :param value: (..., *batch_shape, *event_shape), between 0 and 1.
    :returns: (..., *batch_shape), or None where the law has no extension.
    """
    return None if law_type(fn) is Categorical else extended(fn, value)


def extended(fn: Any, value: torch.Tensor) -> torch.Tensor | None:
    """Returns :func:`soft_log_prob`; integers have it too, at one-hot vectors."""
    if isinstance(fn, MaskedDistribution):
        inner = extended(fn.base_dist, value)
        return None if inner is None else scale_and_mask(inner, mask=fn._mask)
    if isinstance(fn, ExpandedDistribution):
        inner = extended(fn.base_dist, value)
        if inner is None:
            return None
        return inner.expand(torch.broadcast_shapes(inner.shape, fn.batch_shape))
    if isinstance(fn, torch_dist.Independent):
        inner = extended(fn.base_dist, value)
        ranks = fn.reinterpreted_batch_ndims
        if inner is None or not ranks:
            return inner
        return inner.sum(tuple(range(-ranks, 0)))
    kind = law_type(fn)
    return None if kind is None else kind(fn.logits).log_prob(value)
