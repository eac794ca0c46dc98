"""What the relaxations of a Bernoulli share: its two parameterisations and its discrete law."""

from __future__ import annotations

import math

from relaxppl import ops
from relaxppl.ops import Array
from relaxppl.relaxations.base import OneOf, Parameter, Relaxation
from relaxppl.relaxations.cached import cached_property

PROBS_OR_LOGITS = OneOf((Parameter("probs", "unit_interval"), Parameter("logits", "real")))


def probs_to_logits(probs: Array) -> Array:
    """Returns log p - log(1 - p), finite at p = 0 and p = 1: there it is log of the least float.

    What has no logarithm is replaced before one is taken, so that no gradient is NaN.
    """
    low = ops.tiny(probs)
    certain = probs >= 1.0
    log_1mp = ops.log1p(-ops.where(certain, 0.0, probs))
    log_1mp = ops.where(certain, math.log(low), log_1mp)
    return ops.log(ops.where(probs < low, low, probs)) - log_1mp


def smallest(value: Array) -> float:
    """Returns the least value that relaxed samples and densities keep on (0, 1).

    Well above the least normal float: 1 / value, times the scale that a plate's subsampling brings,
    must not overflow, or the gradient of a saturated coordinate would be inf * 0. float16, whose
    range is that short, has no room for it.
    """
    least, eps = ops.tiny(value), ops.eps(value)
    return least / eps if least < eps * eps else least


def bernoulli_log_prob(logits: Array, value: Array) -> Array:
    """Returns b log s(a) + (1 - b) log s(-a), extended linearly to values between 0 and 1."""
    return value * logits - ops.softplus(logits)


def straight_through(hard: Array, soft: Array) -> Array:
    """Returns exactly the hard value, with the gradient of the soft one.

    The soft value is subtracted from itself first: ``(soft + hard) - soft`` rounds.
    """
    return ops.stop_gradient(hard) + (soft - ops.stop_gradient(soft))


def zero_with_gradient(x: Array) -> Array:
    """Returns zeros whose derivative in x is one."""
    return x - ops.stop_gradient(x)


class Binary(Relaxation):
    """A relaxation of Bernoulli(s(logits))."""

    @cached_property
    def logits(self) -> Array:
        """The log odds of the discrete value 1."""
        return probs_to_logits(self.probs)

    @cached_property
    def probs(self) -> Array:
        """The probability of the discrete value 1."""
        return ops.sigmoid(self.logits)

    def harden(self, value: Array) -> Array:
        return ops.cast(value > 0.5, value)


class BernoulliLaw(Binary):
    """The discrete law itself, shared by the straight-through classes."""

    support = "boolean"
    discrete = True
    enumerable = True
    hard_law = "Bernoulli"

    def log_prob(self, value: Array) -> Array:
        return bernoulli_log_prob(self.logits, value)

    def mean(self) -> Array:
        return self.probs

    def variance(self) -> Array:
        return self.probs * ops.sigmoid(-self.logits)

    def entropy(self) -> Array:
        return ops.softplus(self.logits) - self.probs * self.logits

    def cdf(self, value: Array) -> Array:
        failure = ops.sigmoid(-self.logits)
        below_one = ops.where(value < 0.0, 0.0, failure)
        return ops.where(value >= 1.0, 1.0, below_one)

    def icdf(self, probability: Array) -> Array:
        return ops.cast(probability > ops.sigmoid(-self.logits), self.logits)

    def enumerate_support(self) -> Array:
        return ops.like(self.logits, [0.0, 1.0])
