"""The binary Concrete law, its logit, and its straight-through use.

z = a + l with l standard logistic, b = [z > 0], x = s(z / T).
Maddison et al., 2017 (arXiv:1611.00712), equations 23 and 24; Jang et al., 2017 (arXiv:1611.01144).
"""

from __future__ import annotations

from typing import ClassVar

from relaxppl import ops
from relaxppl.relaxations.base import Array, Parameter, Parameters
from relaxppl.relaxations.binary import (
    PROBS_OR_LOGITS,
    BernoulliLaw,
    Binary,
    smallest,
    straight_through,
)
from relaxppl.relaxations.quadrature import over_half_line, over_logistic

TEMPERATURE = Parameter("temperature", "positive")


class BinaryConcrete(Binary):
    """What the value on (0, 1), its logit and the straight-through value share."""

    parameters: ClassVar[Parameters] = (TEMPERATURE, PROBS_OR_LOGITS)
    noise = "logistic"

    @property
    def location(self) -> Array:
        """The location of the latent logistic variable."""
        return self.logits

    def latent(self, noise: Array) -> Array:
        """Returns z = location + noise, of the noise's shape."""
        return self.location + noise

    def hard(self, latent: Array) -> Array:
        """Returns b = [z > 0]."""
        return ops.cast(latent > 0, latent)

    def soft(self, latent: Array) -> Array:
        """Returns s(z / T), kept strictly inside (0, 1) where the float would round out of it."""
        inside = ops.sigmoid(latent / self.temperature)
        return ops.clip(inside, smallest(inside), 1.0 - ops.eps(inside))

    def latent_given_hard(self, hard: Array, noise: Array) -> Array:
        """Returns z given b, differentiable in the logits.

        :param hard: the drawn b, exactly 0 or 1.
        :param noise: standard logistic, independent of b, of the same shape.
        :returns: z with [z > 0] = b, of the same shape.
        """
        # Tucker et al., 2017 (arXiv:1703.07370), appendix C, in a form that does not overflow.
        a = self.location
        sign = 2.0 * hard - 1.0
        return sign * ops.softplus(noise + ops.softplus(sign * a))


def logistic_log_density(logit: Array, location: Array, temperature: Array) -> Array:
    """Returns the log density of y = z / T at y = logit."""
    scaled = location - temperature * logit
    return ops.log(temperature) + ops.log_sigmoid(scaled) + ops.log_sigmoid(-scaled)


class RelaxedBernoulli(BinaryConcrete):
    """x = s((a + l) / T), a value on (0, 1)."""

    support = "unit_interval"

    def sample(self, noise: Array) -> Array:
        return self.soft(self.latent(noise))

    def log_prob(self, value: Array) -> Array:
        value = ops.clip(value, smallest(value), 1.0 - ops.eps(value))
        log_x, log_1mx = ops.log(value), ops.log1p(-value)
        base = logistic_log_density(log_x - log_1mx, self.location, self.temperature)
        return base - log_x - log_1mx

    def cdf(self, value: Array) -> Array:
        value = ops.clip(value, smallest(value), 1.0 - ops.eps(value))
        logit = ops.log(value) - ops.log1p(-value)
        inside = ops.sigmoid(self.temperature * logit - self.location)
        return inside

    def icdf(self, probability: Array) -> Array:
        noise = ops.log(probability) - ops.log1p(-probability)
        return self.soft(self.latent(noise))

    def mean(self) -> Array:
        return self._raw_moment(1)

    def variance(self) -> Array:
        return self._raw_moment(2) - self._raw_moment(1) ** 2

    def _raw_moment(self, order: int) -> Array:
        """Returns E[x^order] by one-dimensional quadrature.

        Above T = 1 the integrand s(z / T)^order is smooth in the logistic noise. Below, integrating
        by parts swaps the roles: E[g(z)] is the integral of g' times P(z > .), smooth instead.
        """
        a, temperature = self.location, self.temperature
        reference = a + temperature
        warm = ops.where(temperature > 1.0, temperature, 1.0 + 0.0 * temperature)
        cold = ops.where(temperature > 1.0, 1.0 + 0.0 * temperature, temperature)
        direct = over_logistic(lambda u: ops.sigmoid((a + u) / warm) ** order, reference)
        by_parts = over_logistic(
            lambda w: order * ops.sigmoid(w) ** (order - 1) * ops.sigmoid(a - cold * w), reference
        )
        return ops.where(temperature > 1.0, direct, by_parts)

    def entropy(self) -> Array:
        """Returns the entropy: that of the logit y, plus E[log s(y) + log s(-y)] by quadrature."""
        a, temperature = self.location, self.temperature
        reference = a + temperature
        warm = ops.where(temperature > 1.0, temperature, 1.0 + 0.0 * temperature)
        cold = ops.where(temperature > 1.0, 1.0 + 0.0 * temperature, temperature)

        def log_jacobian(noise: Array) -> Array:
            y = (a + noise) / warm
            return ops.log_sigmoid(y) + ops.log_sigmoid(-y)

        def bend(w: Array) -> Array:
            below, above = -a - cold * w, -a + cold * w
            density = ops.exp(ops.log_sigmoid(below) + ops.log_sigmoid(-below))
            density = density + ops.exp(ops.log_sigmoid(above) + ops.log_sigmoid(-above))
            return cold * density * ops.log1p(ops.exp(-w))

        direct = over_logistic(log_jacobian, reference)
        # Below T = 1 the integrand bends sharply at y = 0. It is -|y| - 2 log(1 + exp(-|y|)): the
        # first has a closed mean, the second is integrated on each side of the bend.
        split = -(ops.softplus(a) + ops.softplus(-a)) / cold - 2.0 * over_half_line(bend, reference)
        return 2.0 - ops.log(temperature) + ops.where(temperature > 1.0, direct, split)


class LogitRelaxedBernoulli(BinaryConcrete):
    """y = (a + l) / T, the logit of a RelaxedBernoulli: no small temperature rounds it."""

    support = "real"

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
        return (3.289868133696453 + 0.0 * self.location) / self.temperature**2

    def entropy(self) -> Array:
        return 2.0 - ops.log(self.temperature) + 0.0 * self.location

    def harden(self, value: Array) -> Array:
        return ops.cast(value > 0, value)


class RelaxedBernoulliStraightThrough(BinaryConcrete, BernoulliLaw):
    """b forward, the gradient of x = s(z / T) backward; its law is the Bernoulli's."""

    support = "boolean"

    def sample(self, noise: Array) -> Array:
        latent = self.latent(noise)
        return straight_through(self.hard(latent), ops.sigmoid(latent / self.temperature))
