"""What of a host's distribution an estimator may know: its law, with or without wrappers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from relaxppl import ops
from relaxppl.common.relax.host import Host, unwrap, wrap
from relaxppl.common.shell import Shell
from relaxppl.estimators.counts import Count
from relaxppl.estimators.laws import LAWS, Categorical, Law
from relaxppl.ops import Array


class Laws:
    """The laws of a host's distributions.

    :param host: its classes.
    :param known: from its classes to laws.
    :param counts: from its classes to laws of counts.
    :param how: returns the law of a distribution that has one, its logits expanded; the host's
        ``scale_and_mask``.
    """

    def __init__(
        self,
        host: Host,
        known: Mapping[Any, type[Law]],
        counts: Mapping[Any, type[Count]],
        how: tuple[Callable[[Any], Law | None], Callable[..., Array]],
    ) -> None:
        self.host, self.known, self.counts = host, known, counts
        self.law_of, self.scale_and_mask = how

    def base_of(self, fn: Any) -> Any:
        """Returns the distribution inside Independent, Expanded and Masked."""
        wrappers = self.host.wrappers  # It runs at every term of every step.
        while isinstance(fn, wrappers):
            fn = fn.base_dist
        return fn

    def law_type(self, fn: Any) -> type[Law] | None:
        """Returns the law that the estimators know a distribution by, or None."""
        base = self.base_of(fn)
        if isinstance(base, Shell):
            name = base.law.hard_law if base.law.discrete else None
            return None if name is None else LAWS[name]
        return next((law for cls, law in self.known.items() if isinstance(base, cls)), None)

    def count_type(self, fn: Any) -> type[Count] | None:
        """Returns the law of counts of a distribution, or None."""
        base = self.base_of(fn)
        return next((law for cls, law in self.counts.items() if isinstance(base, cls)), None)

    def unmasked(self, fn: Any) -> Any:
        """Returns the distribution without its masks: a masked site is drawn all the same."""
        while isinstance(fn, self.host.masked):
            fn = fn.base_dist
        base, wrappers = unwrap(self.host, fn)
        kept = [wrapper for wrapper in wrappers if not isinstance(wrapper, self.host.masked)]
        return fn if len(kept) == len(wrappers) else wrap(self.host, base, kept)

    def soft_log_prob(self, fn: Any, value: Array) -> Array | None:
        """Returns the multilinear extension of a discrete law's log probability.

        It equals ``fn.log_prob`` at the hard values and is linear in each coordinate between them.

        :param fn: a distribution over what ``value`` relaxes.
        :param value: (..., *batch_shape, *event_shape), between 0 and 1.
        :returns: (..., *batch_shape), or None where the law has no extension.
        """
        return None if self.law_type(fn) is Categorical else self.extended(fn, value)

    def extended(self, fn: Any, value: Array) -> Array | None:
        """Returns :meth:`soft_log_prob`; integers have it too, at one-hot vectors."""
        if not isinstance(fn, self.host.wrappers):
            law = None if self.law_type(fn) is None else self.law_of(fn)
            return None if law is None else law.log_prob(value)
        inner = self.extended(fn.base_dist, value)
        if inner is None:
            return None
        if isinstance(fn, self.host.masked):
            return self.scale_and_mask(inner, mask=fn._mask)
        if isinstance(fn, self.host.independent):
            summed = tuple(range(-fn.reinterpreted_batch_ndims, 0))
            return ops.sum(inner, axis=summed) if summed else inner
        return ops.broadcast_to(inner, np.broadcast_shapes(tuple(inner.shape), fn.batch_shape))
