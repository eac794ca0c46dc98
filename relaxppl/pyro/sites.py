"""What kind of variable a discrete site is, and how many values it has."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import torch
from pyro.distributions import constraints

from relaxppl.enumerating import Variable
from relaxppl.estimators import laws
from relaxppl.pyro.elbo.laws import base_of, law_type
from relaxppl.pyro.elbo.structure import Site
from relaxppl.pyro.finite_count import FiniteCount
from relaxppl.pyro.registry import HOST
from relaxppl.pyro.truncate import truncate

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
    if isinstance(support, constraints.integer_interval):
        return "count" if bool(torch.all(torch.as_tensor(support.lower_bound) == 0)) else "other"
    return "count" if _is_nonnegative(support) else "other"


def _is_nonnegative(support: Any) -> bool:
    # torch makes this constraint an instance of a private class.
    return isinstance(support, type(constraints.nonnegative_integer)) and support.lower_bound == 0


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
    if isinstance(support, constraints.integer_interval):
        return int(torch.as_tensor(support.upper_bound).max()) + 1
    try:
        return int(truncate(base, torch.tensor(1.0), tail).values.shape[-1])
    except (TypeError, ValueError):
        return None


def count_log_probs(fn: Any, size: int) -> torch.Tensor:
    """Returns log P(k) for k < size of a count law with its batch and events, (*shape, size)."""
    base = copy.copy(base_of(fn))
    base._validate_args = False  # It is minus infinity outside the support.
    k = torch.arange(size, dtype=torch.get_default_dtype())
    k = k.reshape((size,) + (1,) * len(base.batch_shape)).expand((size, *base.batch_shape))
    log_p = base.log_prob(k).detach().movedim(0, -1)
    return log_p.expand((*fn.batch_shape, *fn.event_shape, size))


def support_of(fn: Any) -> np.ndarray | None:
    """Returns the values of one draw, (S, *event of one draw), or None if they are not known."""
    base = base_of(fn)
    if not base.has_enumerate_support:
        return None
    try:
        values = base.enumerate_support(expand=False).detach().cpu().numpy()
    except NotImplementedError:
        return None
    return values.reshape((len(values), *base.event_shape))


def variable_of(site: Site) -> Variable:
    """Returns what enumeration and advice need to know of a discrete site of a guide."""
    fn = site.fn
    base = base_of(fn)
    rank = len(fn.event_shape) - len(base.event_shape)
    return Variable(
        kind=kind_of(fn),
        class_name=type(base).__name__,
        support=support_of(fn),
        shape=tuple(fn.batch_shape) + tuple(fn.event_shape[:rank]),
        plates={frame.name: frame.dim for frame in site.frames},
        event_dim=rank,
        relaxable=HOST.registry.find(type(base)) is not None,
    )
