"""Gumbel-Rao: straight-through values whose gradient is averaged over the noise they leave open.

Paulus et al., 2021 (arXiv:2010.04838): given the value D, the mean of d softmax(z / T) / d l over
the law of z given D, by Monte Carlo; the noise g of z = l + g is held.
"""

from __future__ import annotations

import numpy as np

from relaxppl import ops
from relaxppl.ops import Array
from relaxppl.relaxations.base import Parameter, Relaxation
from relaxppl.relaxations.binary import PROBS_OR_LOGITS as BINARY
from relaxppl.relaxations.binary import BernoulliLaw, straight_through, zero_with_gradient
from relaxppl.relaxations.categorical import PROBS_OR_LOGITS, OneHotLaw
from relaxppl.relaxations.relaxed_bernoulli import TEMPERATURE

_NUM_SAMPLES = Parameter("num_samples", "", default=10, static=True)


class _Averaged(Relaxation):
    """What both classes ask of the number of draws."""

    def check(self) -> None:
        given = self.num_samples
        integer = isinstance(given, (int, np.integer)) and not isinstance(given, bool)
        if not integer or given < 1:
            raise ValueError(
                f"{type(self).__name__}: num_samples must be an int of at least 1, got {given!r}"
            )


class GumbelRaoOneHotCategorical(_Averaged, OneHotLaw):
    """The one-hot class forward, backward the mean of softmax(z_m / T) over draws given the class.

    Each of the ``num_samples`` latents z_m is z = log p + g given its argmax, and its noise
    g = z_m - log p is held. The gradient has the mean of that of
    RelaxedOneHotCategoricalStraightThrough, and less variance. The values are exactly one-hot and
    their law is that of OneHotCategorical(p), whatever the temperature.

    :param temperature: T of the gradient, positive, (*batch_shape).
    :param probs: the probabilities p, on the simplex, (*batch_shape, K); or
    :param logits: log p up to a constant, (*batch_shape, K).
    :param num_samples: how many latents are drawn for each value, an int of at least 1.
    :raises ValueError: for a parameter outside its constraint, or both or neither of probs and
        logits.

    Paulus et al., 2021 (arXiv:2010.04838), equation 9.
    """

    parameters = (TEMPERATURE, PROBS_OR_LOGITS, _NUM_SAMPLES)
    noise = "uniform"

    @property
    def noise_shape(self) -> tuple[int, ...]:
        # The first row makes the class, each of the others a latent given the class.
        return (1 + int(self.num_samples), self.size)

    def sample(self, noise: Array) -> Array:
        # Minus exponential variables E, the logarithm of one of which is minus a Gumbel one. Given
        # the class i, exp(-z_i) = E_i and exp(-z_j) = E_i + E_j / p_j.
        # The draws in front, where the sums over them and over the classes are both quick.
        minus_time = ops.moveaxis(ops.log(noise), -2, 0)
        log_probs = ops.stop_gradient(self.log_probs)
        hard = self.harden(log_probs - ops.log(-minus_time[0]))
        log_others = ops.where(hard > 0.5, 0.0, log_probs)
        others = ops.where(hard > 0.5, 0.0, ops.exp(log_probs))
        minus_time = minus_time[1:]
        first = ops.sum(minus_time * hard, axis=-1, keepdims=True)
        moved = zero_with_gradient(self.logits)
        latent = (log_others + moved) - ops.log(-(minus_time + others * first))
        soft = ops.softmax(latent / self.temperature[..., None], axis=-1)
        return straight_through(hard, ops.sum(soft, axis=0) / float(self.num_samples))


class GumbelRaoBernoulli(_Averaged, BernoulliLaw):
    """The bit forward, backward the mean of s(z_m / T) over draws of the latent given the bit.

    Each of the ``num_samples`` latents z_m is z = a + l given [z > 0], l standard logistic, and its
    noise l = z_m - a is held. They are quantiles of that law at equal distances, (m + u) / M with
    one uniform u for all: the gradient has the mean of that of RelaxedBernoulliStraightThrough, and
    a variance that falls faster with M than that of independent draws. The values are exactly 0 and
    1 and their law is that of Bernoulli(s(a)), whatever the temperature.

    :param temperature: T of the gradient, positive, (*batch_shape).
    :param probs: the probability s(a), in [0, 1], (*batch_shape); or
    :param logits: its log odds a, (*batch_shape).
    :param num_samples: how many latents are drawn for each value, an int of at least 1.
    :raises ValueError: for a parameter outside its constraint, or both or neither of probs and
        logits.

    Paulus et al., 2021 (arXiv:2010.04838), equation 9 with two classes.
    """

    parameters = (TEMPERATURE, BINARY, _NUM_SAMPLES)
    noise = "uniform"

    @property
    def noise_shape(self) -> tuple[int, ...]:
        # The first makes the bit, the second shifts the quantiles of the latents given the bit.
        return (2,)

    def sample(self, noise: Array) -> Array:
        probs, count = ops.stop_gradient(self.probs), int(self.num_samples)
        hard = ops.cast(noise[..., 0] < probs, probs)
        sign = 2.0 * hard - 1.0
        odds = ops.stop_gradient(sign * self.logits)
        shift, axis = noise[..., 1], (count,) + (1,) * len(hard.shape)
        # M v and M (1 - v), each in a form that does not round to zero.
        below = ops.like(noise, np.arange(count)).reshape(axis) + shift
        above = ops.like(noise, np.arange(count, 0, -1)).reshape(axis) - shift
        # The v-th quantile of |z| is softplus(L(v) + softplus(+-a)), here with one logarithm.
        ratio = (count * ops.sigmoid(-odds) + below * ops.sigmoid(odds)) / above
        latent = sign * (ops.softplus(odds) + ops.log(ratio)) + zero_with_gradient(self.logits)
        soft = ops.sigmoid(latent / self.temperature)
        return straight_through(hard, ops.sum(soft, axis=0) / float(count))
