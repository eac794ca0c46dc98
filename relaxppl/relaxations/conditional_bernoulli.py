"""k of n: independent bits given their sum, the law of SIMPLE.

Ahmed et al., 2023 (arXiv:2210.01941): p(S) = exp(sum_S theta) / E_k, E_k the sum over all subsets.
"""

from __future__ import annotations

import math
from itertools import combinations
from typing import Any

import numpy as np

from relaxppl import ops
from relaxppl.moments import conditional
from relaxppl.ops import Array
from relaxppl.ops.constants import NEVER
from relaxppl.relaxations.base import OneOf, Parameter, Relaxation
from relaxppl.relaxations.binary import probs_to_logits
from relaxppl.relaxations.cached import cached_property

_MOST_VALUES = 10_000


class ConditionalBernoulli(Relaxation):
    """The k-hot vector of k of n items: p(S) = exp(sum of theta_i over S) / E_k(theta).

    It is the law of n independent Bernoullis of logits theta given that k of them are one, with E_k
    the sum over all subsets of k. Not that of Gumbel top-k, which draws one item after the other.
    Everything is exact and in O(n k), the covariance in O(n^2 k). Its samples carry no gradient.

    :param k: how many are chosen, an int from 1 to n.
    :param probs: the probability of each bit before the condition, in [0, 1], (*batch, n); or
    :param logits: their log odds theta, up to a constant, (*batch, n).
    :raises ValueError: if k is not an int from 1 to n, a parameter is outside its constraint, or
        not exactly one of probs and logits is given.

    Ahmed et al., 2023 (arXiv:2210.01941); Chen, Dempster and Liu, 1994, Biometrika 81.
    """

    parameters = (
        Parameter("k", "", static=True),
        OneOf(
            (Parameter("probs", "unit_interval_vector", 1), Parameter("logits", "real_vector", 1))
        ),
    )
    event_rank = 1
    noise = "uniform"
    discrete = True
    reparameterized = False
    in_steps = "subset"
    further = ("inclusion_probs", "covariance", "mode")

    @cached_property
    def logits(self) -> Array:
        """The log odds of the n bits before the condition."""
        return probs_to_logits(self.probs)

    @cached_property
    def probs(self) -> Array:
        """The probabilities of the n bits before the condition."""
        return ops.sigmoid(self.logits)

    @property
    def size(self) -> int:
        """The number n of items."""
        return ops.size(self.__dict__["logits" if "logits" in self.__dict__ else "probs"])

    @property
    def event_shape(self) -> tuple[int, ...]:
        return (self.size,)

    @property
    def support(self) -> Any:  # type: ignore[override]
        return ("discrete_k_hot", int(self.k))

    @property
    def enumerable(self) -> bool:  # type: ignore[override]
        return math.comb(self.size, int(self.k)) <= _MOST_VALUES

    def check(self) -> None:
        integer = isinstance(self.k, (int, np.integer)) and not isinstance(self.k, bool)
        if not integer or not 1 <= self.k <= self.size:
            raise ValueError(
                f"{type(self).__name__}: k must be an int from 1 to n = {self.size}, the last "
                f"dimension of probs or logits; got {self.k!r}"
            )

    def sample(self, noise: Array) -> Array:
        chance = conditional.chances(ops.stop_gradient(self.logits), int(self.k))
        return conditional.drawn(chance, noise)

    @cached_property
    def log_normalizer(self) -> Array:
        """The logarithm of E_k, (*batch)."""
        return conditional.log_normalizer(self.logits, int(self.k))

    def log_prob(self, value: Array) -> Array:
        return ops.sum(value * self.logits, axis=-1) - self.log_normalizer

    @cached_property
    def inclusion_probs(self) -> Array:
        """The probability of each item to be among the k, (*batch, n); their sum is k."""
        return conditional.inclusion_probs(self.logits, int(self.k))

    @property
    def covariance(self) -> Array:
        """The covariance of the n bits, (*batch, n, n)."""
        chance, size = self.inclusion_probs, self.size
        same = ops.like(chance, np.eye(size))
        # Given that item i is in, the others are k - 1 of the rest.
        others = ops.where(same > 0.5, NEVER, self.logits[..., None, :])
        given = conditional.inclusion_probs(others, int(self.k) - 1)
        return chance[..., :, None] * (ops.where(same > 0.5, 1.0, given) - chance[..., None, :])

    @property
    def mode(self) -> Array:
        """The k-hot vector of the k largest logits, (*batch, n)."""
        return self.harden(self.logits)

    def mean(self) -> Array:
        return self.inclusion_probs

    def variance(self) -> Array:
        return self.inclusion_probs * (1.0 - self.inclusion_probs)

    def entropy(self) -> Array:
        return self.log_normalizer - ops.sum(self.inclusion_probs * self.logits, axis=-1)

    def enumerate_support(self) -> Array:
        if not self.enumerable:
            raise NotImplementedError(
                f"{type(self).__name__}: it enumerates at most {_MOST_VALUES} subsets, here are "
                f"{math.comb(self.size, int(self.k))}"
            )
        index = np.array(list(combinations(range(self.size), int(self.k))))
        return ops.like(self.logits, np.eye(self.size)[index].sum(-2))

    def harden(self, value: Array) -> Array:
        return ops.sum(ops.one_hot(ops.top_k(value, int(self.k)), self.size, value), axis=-2)
