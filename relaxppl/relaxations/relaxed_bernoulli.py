"""The binary Concrete law, its logit, and its straight-through use.

z = a + l with l standard logistic, b = [z > 0], x = s(z / T).
Maddison et al., 2017 (arXiv:1611.00712), equations 23 and 24; Jang et al., 2017 (arXiv:1611.01144).
"""

from __future__ import annotations

from typing import ClassVar

from relaxppl import ops
from relaxppl.moments.concrete import concrete_entropy, concrete_moment
from relaxppl.ops import Array
from relaxppl.relaxations.base import Parameter, Parameters
from relaxppl.relaxations.binary import (
    PROBS_OR_LOGITS,
    BernoulliLaw,
    Binary,
    smallest,
    straight_through,
)

TEMPERATURE = Parameter("temperature", "positive")


class BinaryConcrete(Binary):
    """What the value on (0, 1), its logit and the straight-through value share."""

    parameters: ClassVar[Parameters] = (TEMPERATURE, PROBS_OR_LOGITS)
    noise = "logistic"
    hard_law = "Bernoulli"

    @property
    def location(self) -> Array:
        """The location of the logistic variable T logit(x)."""
        return self.logits

    def latent(self, noise: Array) -> Array:
        """Returns z = a + noise, of the noise's shape."""
        return self.logits + noise

    def hard_of(self, latent: Array) -> Array:
        """Returns b = [z > 0]."""
        return ops.cast(latent > 0, latent)

    def soft(self, latent: Array) -> Array:
        """Returns s(z / T), kept strictly inside (0, 1) where the float would round out of it."""
        return inside(ops.sigmoid(latent / self.temperature))

    def latent_given_hard(self, hard: Array, noise: Array) -> Array:
        """Returns z given b, differentiable in the logits.

        :param hard: the drawn b, exactly 0 or 1.
        :param noise: standard logistic, independent of b, of the same shape.
        :returns: z with [z > 0] = b, of the same shape.
        """
        # Tucker et al., 2017 (arXiv:1703.07370), appendix C, in a form that does not overflow.
        a = self.logits
        sign = 2.0 * hard - 1.0
        return sign * ops.softplus(noise + ops.softplus(sign * a))


def inside(value: Array) -> Array:
    """Returns a value kept away from 0 and 1, where its logit would not be finite."""
    return ops.clip(value, smallest(value), 1.0 - ops.eps(value))


def within_range(value: Array) -> Array:
    """Returns a value kept where the float is finite."""
    most = 1.0 / ops.tiny(value)
    return ops.clip(value, -most, most)


def logistic_log_density(logit: Array, location: Array, temperature: Array) -> Array:
    """Returns the log density of y = z / T at y = logit."""
    scaled = location - temperature * logit
    return ops.log(temperature) + ops.log_sigmoid(scaled) + ops.log_sigmoid(-scaled)


class RelaxedBernoulli(BinaryConcrete):
    """x = s((a + l) / T) with l standard logistic and s the sigmoid: a value on (0, 1).

    The log density is log T + log s(c) + log s(-c) - log x - log(1 - x) with c = a - T logit(x).
    Mean, variance and entropy are one-dimensional quadratures. The hard value [x > 1/2] is 1 with
    probability ``probs`` = s(a).

    :param temperature: T, positive, (*batch_shape).
    :param probs: the probability s(a), in [0, 1], (*batch_shape); or
    :param logits: its log odds a, (*batch_shape).
    :raises ValueError: for a parameter outside its constraint, or both or neither of probs and
        logits.

    Maddison et al., 2017 (arXiv:1611.00712), appendix B; Jang et al., 2017 (arXiv:1611.01144).
    """

    support = "unit_interval"

    def rounded(self, value: Array) -> Array:
        return inside(value)

    def sample(self, noise: Array) -> Array:
        return self.soft(self.latent(noise))

    def log_prob(self, value: Array) -> Array:
        value = inside(value)
        log_x, log_1mx = ops.log(value), ops.log1p(-value)
        base = logistic_log_density(log_x - log_1mx, self.location, self.temperature)
        return base - log_x - log_1mx

    def cdf(self, value: Array) -> Array:
        within = inside(value)
        logit = ops.log(within) - ops.log1p(-within)
        below = ops.sigmoid(self.temperature * logit - self.location)
        below = ops.where(value <= 0.0, 0.0, below)
        return ops.where(value >= 1.0, 1.0, below)

    def icdf(self, probability: Array) -> Array:
        return self.soft(self.latent(ops.log(probability) - ops.log1p(-probability)))

    def mean(self) -> Array:
        return concrete_moment(self.location, self.temperature, 1)

    def variance(self) -> Array:
        first = concrete_moment(self.location, self.temperature, 1)
        return concrete_moment(self.location, self.temperature, 2) - first**2

    def entropy(self) -> Array:
        return concrete_entropy(self.location, self.temperature)


class LogitRelaxedBernoulli(BinaryConcrete):
    """y = (a + l) / T, the logit of a RelaxedBernoulli: no small temperature rounds it.

    A logistic law of location a / T and scale 1 / T. The hard value [y > 0] is 1 with probability
    ``probs`` = s(a).

    :param temperature: T, positive, (*batch_shape).
    :param probs: the probability s(a), in [0, 1], (*batch_shape); or
    :param logits: its log odds a, (*batch_shape).
    :raises ValueError: for a parameter outside its constraint, or both or neither of probs and
        logits.

    Maddison et al., 2017 (arXiv:1611.00712), appendix C.3.2.
    """

    support = "real"

    def rounded(self, value: Array) -> Array:
        return within_range(value)

    def sample(self, noise: Array) -> Array:
        return self.latent(noise) / self.temperature

    def log_prob(self, value: Array) -> Array:
        return logistic_log_density(value, self.location, self.temperature)

    def cdf(self, value: Array) -> Array:
        return ops.sigmoid(self.temperature * value - self.location)

    def icdf(self, probability: Array) -> Array:
        noise = ops.log(probability) - ops.log1p(-probability)
        return self.latent(noise) / self.temperature

    def mean(self) -> Array:
        return self.location / self.temperature

    def variance(self) -> Array:
        return self.full(3.289868133696453 / self.temperature**2)

    def entropy(self) -> Array:
        return self.full(2.0 - ops.log(self.temperature))

    def harden(self, value: Array) -> Array:
        return ops.cast(value > 0, value)


class RelaxedBernoulliStraightThrough(BinaryConcrete, BernoulliLaw):
    """b = [z > 0] forward, the gradient of s(z / T) backward, with z = a + l and l logistic.

    Its values are exactly 0 and 1 and its law is that of Bernoulli(s(a)), whatever the temperature.

    :param temperature: T of the gradient, positive, (*batch_shape).
    :param probs: the probability s(a), in [0, 1], (*batch_shape); or
    :param logits: its log odds a, (*batch_shape).
    :raises ValueError: for a parameter outside its constraint, or both or neither of probs and
        logits.

    Jang et al., 2017 (arXiv:1611.01144), section 2.2.
    """

    support = "boolean"

    def sample(self, noise: Array) -> Array:
        latent = self.latent(noise)
        return straight_through(self.hard_of(latent), ops.sigmoid(latent / self.temperature))
