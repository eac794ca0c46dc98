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
from relaxppl.relaxations.binary import BernoulliLaw, straight_through
from relaxppl.relaxations.categorical import PROBS_OR_LOGITS, OneHotLaw
from relaxppl.relaxations.relaxed_bernoulli import TEMPERATURE, BinaryConcrete
from relaxppl.relaxations.relaxed_one_hot import Concrete

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
    noise = "gumbel"

    @property
    def noise_shape(self) -> tuple[int, ...]:
        # The first row makes the class, each of the others a latent given the class.
        return (1 + int(self.num_samples), self.size)

    def sample(self, noise: Array) -> Array:
        log_probs, temperature = self.log_probs[..., None, :], self.temperature[..., None]
        inner = Concrete(temperature=temperature, logits=log_probs, log_probs=log_probs)
        hard = ops.stop_gradient(inner.hard_of(log_probs + noise[..., :1, :]))
        held = ops.stop_gradient(inner.latent_given_hard(hard, noise[..., 1:, :]) - log_probs)
        soft = ops.softmax((log_probs + held) / temperature[..., None], axis=-1)
        soft = ops.sum(soft, axis=-2) / float(self.num_samples)
        return straight_through(hard[..., 0, :], soft)


class GumbelRaoBernoulli(_Averaged, BernoulliLaw):
    """The bit forward, backward the mean of s(z_m / T) over draws of the latent given the bit.

    Each of the ``num_samples`` latents z_m is z = a + l given [z > 0], l standard logistic, and its
    noise l = z_m - a is held. The gradient has the mean of that of RelaxedBernoulliStraightThrough,
    and less variance. The values are exactly 0 and 1 and their law is that of Bernoulli(s(a)),
    whatever the temperature.

    :param temperature: T of the gradient, positive, (*batch_shape).
    :param probs: the probability s(a), in [0, 1], (*batch_shape); or
    :param logits: its log odds a, (*batch_shape).
    :param num_samples: how many latents are drawn for each value, an int of at least 1.
    :raises ValueError: for a parameter outside its constraint, or both or neither of probs and
        logits.

    Paulus et al., 2021 (arXiv:2010.04838), equation 9 with two classes.
    """

    parameters = (TEMPERATURE, BINARY, _NUM_SAMPLES)
    noise = "logistic"

    @property
    def noise_shape(self) -> tuple[int, ...]:
        # The first makes the bit, each of the others a latent given the bit.
        return (1 + int(self.num_samples),)

    def sample(self, noise: Array) -> Array:
        logits, temperature = self.logits[..., None], self.temperature[..., None]
        inner = BinaryConcrete(temperature=temperature, logits=logits)
        hard = ops.stop_gradient(inner.hard_of(inner.latent(noise[..., :1])))
        held = ops.stop_gradient(inner.latent_given_hard(hard, noise[..., 1:]) - logits)
        soft = ops.sigmoid((logits + held) / temperature)
        return straight_through(hard[..., 0], ops.sum(soft, axis=-1) / float(self.num_samples))
