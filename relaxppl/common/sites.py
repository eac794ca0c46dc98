"""What kind of variable a discrete site is, and how many values it has."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from relaxppl import ops
from relaxppl.common.enumerated import Variable
from relaxppl.common.laws import Laws
from relaxppl.estimators.laws import Bernoulli, Categorical, OneHotCategorical

_KINDS = {Bernoulli: "binary", OneHotCategorical: "one-hot", Categorical: "integer"}


@dataclass(frozen=True)
class Sites:
    """What is known of a host's discrete distributions, wrapped in Independent and so on or not.

    :param laws: by which the estimators know them.
    :param finite_count: the class of counts with a free probability for each value.
    :param interval: its class of supports of integers between two ends.
    :param is_count: whether a support is that of the integers from zero.
    :param truncate: makes a relaxed number of a count law, a temperature and a tail.
    :param counts: returns 0, ..., n - 1 as values of a count law.
    :param values_of: returns what a distribution enumerates.
    """

    laws: Laws
    finite_count: type
    interval: Any
    is_count: Callable[[Any], bool]
    truncate: Callable[[Any, Any, float], Any]
    counts: Callable[[int], Any]
    values_of: Callable[[Any], np.ndarray]

    def base_of(self, fn: Any) -> Any:
        """Returns the distribution inside its wrappers."""
        return self.laws.base_of(fn)

    def kind_of(self, fn: Any) -> str:
        """Returns binary, one-hot, integer, count or other."""
        base = self.base_of(fn)
        if isinstance(base, self.finite_count):
            return "count"
        law = self.laws.law_type(base)
        if law is not None:
            return _KINDS[law]
        support = base.support
        if base.event_shape or not support.is_discrete:
            return "other"
        if isinstance(support, self.interval):
            lowest = _known(support.lower_bound)
            return "count" if lowest is not None and np.all(lowest == 0) else "other"
        return "count" if self.is_count(support) else "other"

    def classes_of(self, fn: Any) -> int:
        """Returns the number of classes of a categorical or a one-hot."""
        return int(self.base_of(fn).logits.shape[-1])

    def count_size(self, fn: Any, tail: float) -> int | None:
        """Returns how many counts from zero leave at most the tail out; None if that is not known.

        :param fn: a count law.
        :param tail: the mass that may be left out.
        """
        base = self.base_of(fn)
        if isinstance(base, self.finite_count):
            return self.classes_of(base)
        if isinstance(base.support, self.interval):
            most = _known(base.support.upper_bound)
            return None if most is None else int(most.max()) + 1
        try:
            return int(self.truncate(base, 1.0, tail).values.shape[-1])
        except (TypeError, ValueError):
            return None

    def count_log_probs(self, fn: Any, size: int) -> Any:
        """Returns log P(k), k < size, of a count law with its batch and events, (*shape, size)."""
        base = copy.copy(self.base_of(fn))
        base._validate_args = False  # It is minus infinity outside the support.
        k = self.counts(size).reshape((size,) + (1,) * len(base.batch_shape))
        log_p = base.log_prob(ops.broadcast_to(k, (size, *base.batch_shape)))
        log_p = ops.moveaxis(ops.stop_gradient(log_p), 0, -1)
        return ops.broadcast_to(log_p, (*fn.batch_shape, *fn.event_shape, size))

    def support_of(self, fn: Any) -> np.ndarray | None:
        """Returns the values of one draw, (S, *event of one draw); None if they are not known."""
        base = self.base_of(fn)
        if not base.has_enumerate_support:
            return None
        try:
            values = self.values_of(base)
        except (NotImplementedError, TypeError):  # An upper end that is traced is a TypeError.
            return None
        return values.reshape((len(values), *base.event_shape))

    def variable_of(self, fn: Any, frames: Iterable[Any]) -> Variable:
        """Returns what enumeration and advice need to know of a discrete site of a guide.

        :param frames: of its plates.
        """
        base = self.base_of(fn)
        rank = len(fn.event_shape) - len(base.event_shape)
        return Variable(
            kind=self.kind_of(fn),
            class_name=type(base).__name__,
            support=self.support_of(fn),
            shape=(*fn.batch_shape, *fn.event_shape[:rank]),
            plates={frame.name: frame.dim for frame in frames},
            event_dim=rank,
            relaxable=self.laws.host.registry.find(type(base)) is not None,
        )


def _known(end: Any) -> np.ndarray | None:
    """Returns an end of a support, a number or an array; None while it is traced."""
    return np.asarray(end) if isinstance(end, int | float | np.ndarray) else ops.known(end)
