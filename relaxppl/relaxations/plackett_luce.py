"""Plackett-Luce: orderings of n items, one place after the other without replacement."""

from __future__ import annotations

import math
from itertools import permutations
from typing import Any

import numpy as np

from relaxppl import ops
from relaxppl.ops import Array
from relaxppl.relaxations.base import Parameter, Relaxation

_MOST_VALUES = 10_000


class PlackettLuce(Relaxation):
    """An ordering s of n items: log p(s) = sum_i [l_{s_i} - logsumexp of l_{s_j} over j >= i].

    The first place goes to an item with probability proportional to exp(l), each next one likewise
    among those that are left. A value holds the items' indices, from 0 to n - 1, the first place
    first: the order of l + g from the largest down, with g standard Gumbel. Samples carry no
    gradient.

    :param logits: l, up to a constant, (*batch, n).
    :raises ValueError: if a logit is not finite.

    Plackett, 1975, The analysis of permutations, Applied Statistics 24; Luce, 1959, Individual
    choice behavior; Yellott, 1977, Journal of Mathematical Psychology 15.
    """

    parameters = (Parameter("logits", "real_vector", 1),)
    event_rank = 1
    noise = "gumbel"
    discrete = True
    reparameterized = False
    in_steps = "ordering"
    further = ("mode",)
    unrelaxed = (
        "a mixture of two orderings' indices is no ordering. Keep it discrete under an ELBO that "
        "takes it as one site (ScoreFunction_ELBO, RLOO_ELBO, RELAX_ELBO), or write the site as a "
        "matching, GumbelSinkhorn(temperature, scores), whose rows multiply what the indices picked"
    )

    @property
    def size(self) -> int:
        """The number n of items."""
        return ops.size(self.logits)

    @property
    def event_shape(self) -> tuple[int, ...]:
        return (self.size,)

    @property
    def support(self) -> Any:  # type: ignore[override]
        return ("ordering", self.size)

    @property
    def enumerable(self) -> bool:  # type: ignore[override]
        return math.factorial(self.size) <= _MOST_VALUES

    def sample(self, noise: Array) -> Array:
        return ops.top_k(self.logits + noise, self.size)

    def log_prob(self, value: Array) -> Array:
        logits, index = ops.broadcast_arrays(self.logits, value)
        placed = ops.take_along_axis(logits, ops.integers(index), axis=-1)
        left = ops.flip(ops.logcumsumexp(ops.flip(placed, axis=-1), axis=-1), axis=-1)
        return ops.sum(placed - left, axis=-1)

    @property
    def mode(self) -> Array:
        """The most probable ordering, (*batch, n): the items by their logits."""
        return ops.top_k(self.logits, self.size)

    def mean(self) -> Array:
        raise NotImplementedError("PlackettLuce has no mean: the indices of items are names")

    def variance(self) -> Array:
        raise NotImplementedError("PlackettLuce has no variance: the indices of items are names")

    def entropy(self) -> Array:
        if not self.enumerable:
            raise NotImplementedError(
                f"PlackettLuce: the entropy is a sum over the orderings, known for at most "
                f"{_MOST_VALUES} of them; the mean of -log_prob over samples estimates it"
            )
        values = ops.like(self.logits, self._orderings)
        values = values.reshape((-1,) + (1,) * (len(self.logits.shape) - 1) + (self.size,))
        log_p = self.log_prob(values)
        return -ops.sum(ops.exp(log_p) * log_p, axis=0)

    @property
    def _orderings(self) -> np.ndarray:
        return np.array(list(permutations(range(self.size))))

    def enumerate_support(self) -> Array:
        if not self.enumerable:
            raise NotImplementedError(
                f"PlackettLuce: it enumerates at most {_MOST_VALUES} orderings, n! of them"
            )
        return ops.integers(ops.like(self.logits, self._orderings))
