"""What kind of variable a discrete site is, and how many values it has."""

from __future__ import annotations

import copy
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist

from relaxppl.enumerating import Variable
from relaxppl.estimators import laws
from relaxppl.numpyro.elbo.laws import base_of, law_type
from relaxppl.numpyro.finite_count import FiniteCount
from relaxppl.numpyro.registry import HOST
from relaxppl.numpyro.truncate import truncate

_KINDS = {laws.Bernoulli: "binary", laws.OneHotCategorical: "one-hot", laws.Categorical: "integer"}


def kind_of(fn: Any) -> str:
    """Returns binary, one-hot, integer, count or other.

    :param fn: a discrete distribution, possibly in Independent, Expanded and Masked.
    """
    base = base_of(fn)
    if isinstance(base, FiniteCount):
        return "count"
    law = law_type(base)
    if law is not None:
        return _KINDS[law]
    if base.event_shape or not base.support.is_discrete:
        return "other"
    support = base.support
    if isinstance(support, dist.constraints.integer_interval):
        lowest = support.lower_bound
        traced = isinstance(lowest, jax.core.Tracer)
        return "count" if not traced and np.all(np.asarray(lowest) == 0) else "other"
    return "count" if support is dist.constraints.nonnegative_integer else "other"


def classes_of(fn: Any) -> int:
    """Returns the number of classes of a categorical or a one-hot."""
    return int(base_of(fn).logits.shape[-1])


def count_size(fn: Any, tail: float) -> int | None:
    """Returns how many counts from zero leave at most the tail out; None if that is not known.

    :param fn: a count law.
    :param tail: the mass that may be left out.
    """
    base = base_of(fn)
    if isinstance(base, FiniteCount):
        return classes_of(base)
    support = base.support
    if isinstance(support, dist.constraints.integer_interval):
        upper = support.upper_bound
        return None if isinstance(upper, jax.core.Tracer) else int(np.max(np.asarray(upper))) + 1
    try:
        return int(truncate(base, 1.0, tail).values.shape[-1])
    except (TypeError, ValueError):
        return None


def count_log_probs(fn: Any, size: int) -> Any:
    """Returns log P(k) for k < size of a count law with its batch and events, (*shape, size)."""
    base = copy.copy(base_of(fn))
    base._validate_args = False  # It is minus infinity outside the support.
    k = jnp.arange(size).reshape((size,) + (1,) * len(base.batch_shape))
    log_p = jnp.moveaxis(base.log_prob(jnp.broadcast_to(k, (size, *base.batch_shape))), 0, -1)
    return jnp.broadcast_to(log_p, (*fn.batch_shape, *fn.event_shape, size))


def support_of(fn: Any) -> np.ndarray | None:
    """Returns the values of one draw, (S, *event of one draw), or None if they are not known."""
    base = base_of(fn)
    if not base.has_enumerate_support:
        return None
    try:
        with jax.ensure_compile_time_eval():
            values = np.asarray(base.enumerate_support(expand=False))
    except (NotImplementedError, TypeError):  # An upper end that jit traces is a TypeError.
        return None
    return values.reshape((len(values), *base.event_shape))


def variable_of(site: dict[str, Any]) -> Variable:
    """Returns what enumeration and advice need to know of a discrete site in a trace."""
    fn = site["fn"]
    base = base_of(fn)
    rank = len(fn.event_shape) - len(base.event_shape)
    shape = (*fn.batch_shape, *fn.event_shape[:rank])
    return Variable(
        kind=kind_of(fn),
        class_name=type(base).__name__,
        support=support_of(fn),
        shape=tuple(shape),
        plates={frame.name: frame.dim for frame in site["cond_indep_stack"]},
        event_dim=rank,
        relaxable=HOST.registry.find(type(base)) is not None,
    )
