"""Sampling k of n without replacement by Gumbel noise, relaxed or straight-through.

Kool et al., 2019 (arXiv:1903.06059): the k largest of log p_i + g_i are an ordered sample without
replacement (Plackett-Luce). Xie and Ermon, 2019 (arXiv:1901.10517): k softmaxes in turn relax it.
"""

from __future__ import annotations

import math
from itertools import combinations
from typing import Any

import numpy as np

from relaxppl import ops
from relaxppl.moments.subset import inclusion_probs, log_prob_of_subset
from relaxppl.ops import Array
from relaxppl.ops.constants import NEVER
from relaxppl.relaxations.base import Parameter
from relaxppl.relaxations.binary import straight_through
from relaxppl.relaxations.cached import cached_property
from relaxppl.relaxations.categorical import PROBS_OR_LOGITS, OneHot
from relaxppl.relaxations.relaxed_bernoulli import TEMPERATURE

_MOST_VALUES = 10_000


class GumbelSoftmaxTopK(OneHot):
    """The k-hot vector of the k largest of z_i = log p_i + g_i, or its relaxation.

    Relaxed: w = z, and k times x_j = softmax(w / T), w <- w + log(1 - x_j); the value is the sum of
    the x_j. Its law has no tractable density, and ``log_prob`` says so. With ``hard=True`` the
    value is the k-hot vector, exactly, and the gradient that of the relaxation; its law is that of
    an unordered sample S without replacement,

    P(S) = integral over t in (0, 1) of prod_{i in S} (1 - t^(p_i / p_rest)) dt, p_rest = 1 - p(S).

    :param k: how many are drawn, an int from 1 to n.
    :param temperature: T, positive, (*batch,).
    :param probs: the probabilities of the n items in the first draw, (*batch, n); or
    :param logits: their logarithms up to a constant, (*batch, n).
    :param hard: whether the value is the k-hot vector.
    :raises ValueError: if k is not an int from 1 to n, the temperature is not positive, or not
        exactly one of probs and logits is given.

    Kool et al., 2019 (arXiv:1903.06059); Xie and Ermon, 2019 (arXiv:1901.10517).
    """

    parameters = (
        Parameter("k", "", static=True),
        TEMPERATURE,
        PROBS_OR_LOGITS,
        Parameter("hard", "", default=False, static=True),
    )
    noise = "gumbel"
    further = ("order", "ordered_log_prob", "subset_log_prob", "inclusion_probs")

    @property
    def support(self) -> Any:  # type: ignore[override]
        return ("k_hot" if self.hard else "scaled_simplex", int(self.k))

    @property
    def discrete(self) -> bool:  # type: ignore[override]
        return self.hard

    @property
    def enumerable(self) -> bool:  # type: ignore[override]
        return self.hard and math.comb(self.size, self.k) <= _MOST_VALUES

    def check(self) -> None:
        integer = isinstance(self.k, (int, np.integer)) and not isinstance(self.k, bool)
        if not integer or not 1 <= self.k <= self.size:
            raise ValueError(
                f"GumbelSoftmaxTopK: k must be an int from 1 to n = {self.size}, the last "
                f"dimension of probs or logits; got {self.k!r}"
            )

    def latent(self, noise: Array) -> Array:
        """Returns z = log p + noise, of the noise's shape."""
        return self.log_probs + noise

    def hard_of(self, latent: Array) -> Array:
        """Returns the k-hot vector of the k largest."""
        return ops.sum(ops.one_hot(ops.top_k(latent, self.k), self.size, latent), axis=-2)

    def soft(self, latent: Array) -> Array:
        """Returns the relaxed k-hot vector: nonnegative, of sum k."""
        temperature = self.temperature[..., None]
        # A drawn item falls this far below all others, and not as far as 1 / T^k would throw it.
        floor = ops.min(latent, axis=-1, keepdims=True) - 100.0 * ops.clip(temperature, 1.0)
        floor = ops.stop_gradient(floor)
        scores = latent / temperature
        total = drawn = ops.softmax(scores, axis=-1)
        for _ in range(int(self.k) - 1):
            latent = ops.clip(latent + _log_one_minus_softmax(scores, drawn), floor)
            scores = latent / temperature
            drawn = ops.softmax(scores, axis=-1)
            total = total + drawn
        return total

    def sample(self, noise: Array) -> Array:
        latent = self.latent(noise)
        soft = self.soft(latent)
        return straight_through(self.hard_of(latent), soft) if self.hard else soft

    def log_prob(self, value: Array) -> Array:
        self._need_discrete(
            "the relaxed k-hot vector has no tractable density. Give hard=True, whose value has "
            "the exact mass and whose gradient is the relaxation's, or score the drawn subset with "
            "subset_log_prob(harden(value))"
        )
        return self.subset_log_prob(value)

    def subset_log_prob(self, value: Array) -> Array:
        """Returns the log probability that the k drawn items, in any order, are those of the value.

        :param value: k-hot vectors, (..., n).
        :returns: (..., *batch).
        """
        return log_prob_of_subset(self.log_probs, value > 0.5, int(self.k))

    def order(self, noise: Array) -> Array:
        """Returns the k drawn items in the order of their draws.

        :param noise: standard Gumbel, (..., *batch, n).
        :returns: indices, (..., *batch, k).
        """
        return ops.top_k(self.latent(noise), self.k)

    def ordered_log_prob(self, index: Array) -> Array:
        """Returns the log probability of the k items in this order.

        The sum over j of log p_{i_j} less the logarithm of the probability still left; -inf if an
        item comes twice. Kool et al., 2019 (arXiv:1903.06059).

        :param index: integers from 0 to n - 1, (..., k).
        :returns: (..., *batch).
        """
        picked = ops.one_hot(index, self.size, self.log_probs)
        before = ops.cumsum(picked, axis=-2) - picked
        log_p = self.log_probs[..., None, :]
        left = ops.logsumexp(ops.where(before > 0.5, NEVER, log_p), axis=-1)
        each = ops.sum(picked * log_p, axis=-1) - left
        again = ops.sum(ops.sum(picked * before, axis=-1), axis=-1) > 0.5
        return ops.where(again, -math.inf, ops.sum(each, axis=-1))

    @property
    def inclusion_probs(self) -> Array:
        """The probability of each item to be among the k drawn, (*batch, n); their sum is k."""
        probs = inclusion_probs(self.log_probs, int(self.k))
        return ops.broadcast_to(probs, tuple(self.batch_shape) + self.event_shape)

    def mean(self) -> Array:
        self._need_discrete(
            "the relaxed k-hot vector's mean has no closed form for k > 1; inclusion_probs is that "
            "of the hard one"
        )
        return self.inclusion_probs

    def variance(self) -> Array:
        self._need_discrete("the relaxed k-hot vector's variance has no closed form")
        return self.inclusion_probs * (1.0 - self.inclusion_probs)

    def entropy(self) -> Array:
        if not self.enumerable:
            raise NotImplementedError(
                f"GumbelSoftmaxTopK: the entropy is a sum over the subsets, known for hard=True "
                f"and at most {_MOST_VALUES} of them"
            )
        subsets = ops.like(self.log_probs, self._subsets)
        subsets = subsets.reshape((-1,) + (1,) * len(self.log_probs.shape[:-1]) + (self.size,))
        log_p = self.subset_log_prob(subsets)
        return -ops.sum(ops.exp(log_p) * log_p, axis=0)

    @cached_property
    def _subsets(self) -> np.ndarray:
        """Every k-hot vector, (cardinality, n)."""
        index = np.array(list(combinations(range(self.size), int(self.k))))
        subsets = np.zeros((len(index), self.size))
        np.put_along_axis(subsets, index, 1.0, axis=1)
        return subsets

    def enumerate_support(self) -> Array:
        if not self.enumerable:
            raise NotImplementedError(
                f"GumbelSoftmaxTopK: only hard=True with at most {_MOST_VALUES} subsets enumerates"
            )
        return ops.like(self.log_probs, self._subsets)

    def harden(self, value: Array) -> Array:
        return self.hard_of(value)


def _log_one_minus_softmax(scores: Array, probs: Array) -> Array:
    """Returns log(1 - softmax(scores)), exact where the softmax rounds to one."""
    # At most one exceeds a half. For it, from the log odds against all others.
    large = probs > 0.5
    others = ops.logsumexp(ops.where(large, NEVER, scores), axis=-1, keepdims=True)
    of_large = -ops.softplus(ops.max(scores, axis=-1, keepdims=True) - others)
    return ops.where(large, of_large, ops.log1p(-ops.where(large, 0.0, probs)))
