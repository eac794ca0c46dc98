"""The Concrete law on the simplex, its logarithm, and its straight-through use.

z_i = log p_i + g_i with g_i standard Gumbel, the class is argmax z, x = softmax(z / T).
Maddison et al., 2017 (arXiv:1611.00712), equation 10; Jang et al., 2017 (arXiv:1611.01144).
"""

from __future__ import annotations

import math
from typing import ClassVar

import numpy as np

from relaxppl import ops
from relaxppl.relaxations.base import Array, Parameters
from relaxppl.relaxations.binary import smallest, straight_through
from relaxppl.relaxations.categorical import PROBS_OR_LOGITS, OneHot, OneHotLaw
from relaxppl.relaxations.relaxed_bernoulli import TEMPERATURE


class Concrete(OneHot):
    """What the value on the simplex, its logarithm and the straight-through value share."""

    parameters: ClassVar[Parameters] = (TEMPERATURE, PROBS_OR_LOGITS)
    noise = "gumbel"

    def latent(self, noise: Array) -> Array:
        """Returns z = log p + noise, of the noise's shape."""
        return self.log_probs + noise

    def hard(self, latent: Array) -> Array:
        """Returns the one-hot vector of argmax z."""
        return self.harden(latent)

    def soft(self, latent: Array) -> Array:
        """Returns softmax(z / T), no coordinate of which is rounded to zero."""
        inside = ops.softmax(latent / self.temperature[..., None], axis=-1)
        return ops.clip(inside, smallest(inside), 1.0)

    def latent_given_hard(self, hard: Array, noise: Array) -> Array:
        """Returns z given the class, differentiable in the logits.

        :param hard: one-hot vectors of the drawn class.
        :param noise: standard Gumbel, independent of the class, of the same shape.
        :returns: z whose argmax is the class, of the same shape.
        """
        # Tucker et al., 2017 (arXiv:1703.07370), appendix B. The maximum is a Gumbel g_i of
        # location log sum p = 0; the others are truncated at it: exp(-z_j) = E_j / p_j + exp(-g_i).
        # It needs normalised log p.
        drawn = hard > 0.5
        top = ops.sum(ops.where(drawn, noise, 0.0 * noise), axis=-1, keepdims=True)
        below = ops.softplus(self.log_probs + noise - top)
        return ops.where(drawn, top + 0.0 * noise, self.log_probs + noise - below)


def log_density_of_log(log_x: Array, logits: Array, temperature: Array) -> Array:
    """Returns the log density of x, times the product of its coordinates, at log x."""
    size = log_x.shape[-1]
    scores = logits - temperature[..., None] * log_x
    scores = scores - ops.logsumexp(scores, axis=-1, keepdims=True)
    constant = math.lgamma(size) + (size - 1) * ops.log(temperature)
    return constant + ops.sum(scores, axis=-1)


class RelaxedOneHotCategorical(Concrete):
    """x = softmax((log p + g) / T), a value on the simplex."""

    support = "simplex"

    def sample(self, noise: Array) -> Array:
        return self.soft(self.latent(noise))

    def log_prob(self, value: Array) -> Array:
        log_x = ops.log(ops.clip(value, smallest(value), 1.0))
        return log_density_of_log(log_x, self.logits, self.temperature) - ops.sum(log_x, axis=-1)

    def mean(self) -> Array:
        return self._raw_moments()[0]

    def variance(self) -> Array:
        first, second = self._raw_moments()
        return second - first**2

    def _raw_moments(self) -> tuple[Array, Array]:
        """Returns E[x_i] and E[x_i^2] by two nested one-dimensional quadratures.

        With c_j = p_j^(1/T), w_j = c_j E_j^(-1/T) and E_j exponential, x_i = w_i / sum_j w_j, and
        1 / (sum w) and 1 / (sum w)^2 are integrals of exp(-t sum w) over t = exp(s), so that
        the expectation factorises over the classes under the integral.
        """
        outer_step, inner_step = 0.1, 0.1
        outer = np.arange(-60.0, 60.0, outer_step)
        # The noise enters as the logarithm of an exponential, whose law is that of -Gumbel.
        inner = np.arange(-36.0, 5.0, inner_step)
        temperature = self.temperature[..., None]
        log_p = self.log_probs
        centre = ops.max(log_p, axis=-1, keepdims=True)
        rank = len((log_p + temperature).shape)
        s = ops.like(log_p, outer).reshape((-1, 1) + (1,) * rank)
        log_e = ops.like(log_p, inner).reshape((1, -1) + (1,) * rank)
        weight = inner_step * ops.exp(log_e - ops.exp(log_e))
        # Below T = 1 the integrand in s is stretched by 1 / T: integrate over s / T instead.
        stretch = 1.0 / ops.clip(temperature, None, 1.0)
        log_tcw = stretch * s + (log_p - centre - log_e) / temperature
        # Far in the tail exp overflows where the factor exp(-tcw) has long been zero.
        tcw = ops.exp(ops.clip(log_tcw, None, 50.0))
        decay = ops.exp(-tcw)
        m = ops.sum(weight * decay, axis=1)
        a = ops.sum(weight * tcw * decay, axis=1)
        b = ops.sum(weight * tcw**2 * decay, axis=1)
        log_m = ops.log(ops.clip(m, ops.tiny(m), None))
        others = ops.exp(ops.sum(log_m, axis=-1, keepdims=True) - log_m)
        scale = outer_step * stretch
        return (
            scale * ops.sum(a * others, axis=0),
            scale * ops.sum(b * others, axis=0),
        )


class ExpRelaxedOneHotCategorical(Concrete):
    """y = log x of a RelaxedOneHotCategorical: no small temperature rounds it.

    Its density is with respect to dx_1 ... dx_{K-1} / (x_1 ... x_K), the measure on the simplex
    that is symmetric in the coordinates.
    """

    support = "log_simplex"

    def sample(self, noise: Array) -> Array:
        return ops.log_softmax(self.latent(noise) / self.temperature[..., None], axis=-1)

    def log_prob(self, value: Array) -> Array:
        return log_density_of_log(value, self.logits, self.temperature)


class RelaxedOneHotCategoricalStraightThrough(Concrete, OneHotLaw):
    """The one-hot class forward, the gradient of softmax(z / T) backward; a categorical law."""

    support = "one_hot"

    def sample(self, noise: Array) -> Array:
        latent = self.latent(noise)
        soft = ops.softmax(latent / self.temperature[..., None], axis=-1)
        return straight_through(self.hard(latent), soft)
