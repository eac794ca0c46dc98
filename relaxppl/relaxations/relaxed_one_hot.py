"""The Concrete law on the simplex, its logarithm, and its straight-through use.

z_i = log p_i + g_i with g_i standard Gumbel, the class is argmax z, x = softmax(z / T).
Maddison et al., 2017 (arXiv:1611.00712), equation 10; Jang et al., 2017 (arXiv:1611.01144).
"""

from __future__ import annotations

import math
from typing import ClassVar

from relaxppl import ops
from relaxppl.moments.simplex import (
    digamma_of,
    mean_logsumexp,
    simplex_entropy,
    simplex_moments,
)
from relaxppl.ops import Array
from relaxppl.ops.constants import EULER
from relaxppl.relaxations.base import Parameters
from relaxppl.relaxations.binary import smallest, straight_through
from relaxppl.relaxations.categorical import PROBS_OR_LOGITS, OneHot, OneHotLaw
from relaxppl.relaxations.relaxed_bernoulli import TEMPERATURE, within_range


class Concrete(OneHot):
    """What the value on the simplex, its logarithm and the straight-through value share."""

    parameters: ClassVar[Parameters] = (TEMPERATURE, PROBS_OR_LOGITS)
    noise = "gumbel"
    hard_law: ClassVar[str | None] = "OneHotCategorical"

    def latent(self, noise: Array) -> Array:
        """Returns z = log p + noise, of the noise's shape."""
        return self.log_probs + noise

    def hard_of(self, latent: Array) -> Array:
        """Returns the one-hot vector of argmax z."""
        return self.harden(latent)

    def soft(self, latent: Array) -> Array:
        """Returns softmax(z / T), no coordinate of which is rounded to zero."""
        inside = ops.softmax(latent / self.temperature[..., None], axis=-1)
        return ops.at_least(inside, smallest(inside))

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
        top = ops.sum(ops.where(drawn, noise, 0.0), axis=-1, keepdims=True)
        below = ops.softplus(self.log_probs + noise - top)
        return ops.where(drawn, top, self.log_probs + noise - below)


def log_density_of_log(log_x: Array, logits: Array, temperature: Array) -> Array:
    """Returns the log density of x, times the product of its coordinates, at log x."""
    size = ops.size(log_x)
    scores = logits - temperature[..., None] * log_x
    scores = scores - ops.logsumexp(scores, axis=-1, keepdims=True)
    constant = math.lgamma(size) + (size - 1) * ops.log(temperature)
    return constant + ops.sum(scores, axis=-1)


class RelaxedOneHotCategorical(Concrete):
    """x = softmax((log p + g) / T) with g standard Gumbel: a value on the simplex.

    The log density is log (K-1)! + (K-1) log T + sum_i (log p_i - (T+1) log x_i)
    - K logsumexp_i (log p_i - T log x_i). Mean and variance are nested one-dimensional quadratures,
    the entropy is one more. The hard value, one-hot at argmax x, has the probabilities ``probs``.

    :param temperature: T, positive, (*batch_shape).
    :param probs: the probabilities p, on the simplex, (*batch_shape, K); or
    :param logits: log p up to a constant, (*batch_shape, K).
    :raises ValueError: for a parameter outside its constraint, or both or neither of probs and
        logits.

    Maddison et al., 2017 (arXiv:1611.00712), equation 10; Jang et al., 2017 (arXiv:1611.01144).
    """

    support = "simplex"

    def rounded(self, value: Array) -> Array:
        return ops.at_least(value, smallest(value))

    def sample(self, noise: Array) -> Array:
        return self.soft(self.latent(noise))

    def log_prob(self, value: Array) -> Array:
        log_x = ops.log(ops.clip(value, smallest(value), 1.0))
        return log_density_of_log(log_x, self.logits, self.temperature) - ops.sum(log_x, axis=-1)

    def mean(self) -> Array:
        return simplex_moments(self.log_probs, self.temperature[..., None])[0]

    def variance(self) -> Array:
        first, second = simplex_moments(self.log_probs, self.temperature[..., None])
        return second - first**2

    def entropy(self) -> Array:
        return simplex_entropy(self.log_probs, self.temperature)


class ExpRelaxedOneHotCategorical(Concrete):
    """y = log x of a RelaxedOneHotCategorical: no small temperature rounds it.

    Its density and its entropy are with respect to dx_1 ... dx_{K-1} / (x_1 ... x_K), the measure
    on the simplex that is symmetric in the coordinates.

    :param temperature: T, positive, (*batch_shape).
    :param probs: the probabilities p, on the simplex, (*batch_shape, K); or
    :param logits: log p up to a constant, (*batch_shape, K).
    :raises ValueError: for a parameter outside its constraint, or both or neither of probs and
        logits.

    Maddison et al., 2017 (arXiv:1611.00712), appendix C.3.3.
    """

    support = "log_simplex"

    def rounded(self, value: Array) -> Array:
        return within_range(value)

    def sample(self, noise: Array) -> Array:
        latent = self.latent(noise)
        # The largest is subtracted before the division: after it, rounding to one part in 1e7 of a
        # value of 1e5 would leave the sum of exp(y) visibly off 1.
        latent = latent - ops.stop_gradient(ops.max(latent, axis=-1, keepdims=True))
        return ops.log_softmax(latent / self.temperature[..., None], axis=-1)

    def log_prob(self, value: Array) -> Array:
        return log_density_of_log(value, self.logits, self.temperature)

    def mean(self) -> Array:
        temperature = self.temperature[..., None]
        total = mean_logsumexp(self.log_probs, temperature)
        return (self.log_probs + EULER) / temperature - total[..., None]

    def variance(self) -> Array:
        raise NotImplementedError(
            "ExpRelaxedOneHotCategorical has no variance: that of logsumexp(z / T) is neither in "
            "closed form nor a one-dimensional quadrature"
        )

    def entropy(self) -> Array:
        # log p_i - T y_i and their logsumexp are minus Gumbel variables and the log of a gamma one.
        size = self.size
        log_scale = math.lgamma(size) + (size - 1) * ops.log(self.temperature)
        return size * (EULER + digamma_of(size)) - log_scale


class RelaxedOneHotCategoricalStraightThrough(Concrete, OneHotLaw):
    """The one-hot vector of argmax z forward, the gradient of softmax(z / T) backward.

    Here z = log p + g with g standard Gumbel. Its values are exactly one-hot and its law is that of
    OneHotCategorical(p), whatever the temperature.

    :param temperature: T of the gradient, positive, (*batch_shape).
    :param probs: the probabilities p, on the simplex, (*batch_shape, K); or
    :param logits: log p up to a constant, (*batch_shape, K).
    :raises ValueError: for a parameter outside its constraint, or both or neither of probs and
        logits.

    Jang et al., 2017 (arXiv:1611.01144), section 2.2.
    """

    support = "one_hot"

    def sample(self, noise: Array) -> Array:
        latent = self.latent(noise)
        soft = ops.softmax(latent / self.temperature[..., None], axis=-1)
        return straight_through(self.hard_of(latent), soft)
