"""The discrete laws that the pathwise estimators know, by their natural parameters.

A law holds logits, the natural parameters of a guide's site, and works on *encoded* values: 0/1
floats of the logits' shape for a Bernoulli, one-hot vectors for a categorical. ``encode`` and
``decode`` go to and from the values that the host's site takes.
"""

from __future__ import annotations

from typing import Any, ClassVar

from relaxppl import ops
from relaxppl.ops import Array
from relaxppl.relaxations.reinmax import ReinMaxBernoulli, ReinMaxOneHotCategorical
from relaxppl.relaxations.relaxed_bernoulli import BinaryConcrete
from relaxppl.relaxations.relaxed_one_hot import Concrete


def total(x: Array) -> Array:
    """Returns the sum of all elements."""
    return ops.sum(x, axis=tuple(range(len(x.shape))))


class Law:
    """A discrete law with natural parameters.

    :param logits: (*batch, *event), log odds or (unnormalised) log probabilities.
    """

    name: ClassVar[str]
    rank: ClassVar[int]
    """How many rightmost dimensions of the logits belong to one draw."""
    noise: ClassVar[str]
    """The law of the latent noise, of the logits' shape: logistic or gumbel."""
    relaxable: ClassVar[bool] = True
    """Whether a program that takes the site's values could take relaxed ones too."""

    def __init__(self, logits: Array) -> None:
        self.logits = logits

    def concrete(self, temperature: Array | None = None) -> Any:
        """Returns the relaxation of this law, whose latent does not depend on a temperature."""
        raise NotImplementedError

    def stopped(self) -> Law:
        """Returns this law with its parameters stopped."""
        return type(self)(ops.stop_gradient(self.logits))

    def encode(self, value: Array) -> Array:
        """Returns a host's value as floats of the logits' shape."""
        cast = ops.cast(value, self.logits)
        return ops.broadcast_arrays(cast, ops.stop_gradient(self.logits))[0]

    def decode(self, encoded: Array) -> Array:
        """Returns an encoded hard value as the host's site takes it."""
        return encoded

    def latent(self, noise: Array) -> Array:
        """Returns z = location(logits) + noise."""
        return self.concrete().latent(noise)

    def latent_given_hard(self, hard: Array, noise: Array) -> Array:
        """Returns z given the encoded draw, differentiable in the logits."""
        return self.concrete().latent_given_hard(hard, noise)

    def hard(self, latent: Array) -> Array:
        """Returns the encoded draw that the latent makes."""
        return self.concrete().hard_of(latent)

    def soft(self, latent: Array, temperature: Array) -> Array:
        """Returns the relaxed value of the latent, of the logits' shape."""
        return self.concrete(temperature).soft(latent)

    def mean(self) -> Array:
        """Returns the mean of the encoded values."""
        raise NotImplementedError

    def straight_through(self, hard: Array) -> Array:
        """Returns the encoded draw as it is, with a derivative in the logits.

        It is ReinMax's: see :mod:`relaxppl.relaxations.reinmax`.
        """
        raise NotImplementedError

    def slope_given_hard(self, hard: Array, latent: Array) -> Array:
        """Returns d z / d location, each element's own, of z given the encoded draw.

        :param latent: that z.
        """
        raise NotImplementedError

    def from_location(self, gradient: Array) -> Array:
        """Pulls a gradient in the location of the latent back to the logits."""
        raise NotImplementedError

    def log_prob(self, x: Array) -> Array:
        """Returns the log mass, extended linearly to relaxed values, without the event's axes."""
        raise NotImplementedError

    def score(self, hard: Array) -> Array:
        """Returns d log q(hard) / d logits."""
        raise NotImplementedError


class Bernoulli(Law):
    """Independent Bernoullis."""

    name = "Bernoulli"
    rank = 0
    noise = "logistic"

    def mean(self) -> Array:
        return ops.sigmoid(self.logits)

    def straight_through(self, hard: Array) -> Array:
        one = ops.like(self.logits, 1.0)
        return ReinMaxBernoulli(temperature=one, logits=self.logits).moving(hard)

    def concrete(self, temperature: Array | None = None) -> Any:
        return BinaryConcrete(temperature=temperature, logits=self.logits)

    def slope_given_hard(self, hard: Array, latent: Array) -> Array:
        # |z| = softplus(v + softplus(+-a)), and the sigmoid of what a softplus takes is one minus
        # exp of minus its value: the derivative needs the value alone.
        return -ops.expm1(-ops.abs(latent)) * ops.sigmoid((2.0 * hard - 1.0) * self.logits)

    def from_location(self, gradient: Array) -> Array:
        return gradient

    def log_prob(self, x: Array) -> Array:
        return x * self.logits - ops.softplus(self.logits)

    def score(self, hard: Array) -> Array:
        # b - p without cancellation at either end.
        return hard * ops.sigmoid(-self.logits) - (1.0 - hard) * ops.sigmoid(self.logits)


class OneHotCategorical(Law):
    """One-hot categoricals along the last axis."""

    name = "OneHotCategorical"
    rank = 1
    noise = "gumbel"

    def mean(self) -> Array:
        return ops.softmax(self.logits, axis=-1)

    def straight_through(self, hard: Array) -> Array:
        one = ops.like(self.logits, 1.0)
        return ReinMaxOneHotCategorical(temperature=one, logits=self.logits).moving(hard)

    def concrete(self, temperature: Array | None = None) -> Any:
        return Concrete(temperature=temperature, logits=self.logits)

    def slope_given_hard(self, hard: Array, latent: Array) -> Array:
        # exp(-z_j) = E_j / p_j + exp(-z_i), i the class drawn, whose own z does not depend on p.
        top = ops.sum(hard * latent, axis=-1, keepdims=True)
        return -ops.expm1(latent - top)

    def from_location(self, gradient: Array) -> Array:
        # The location is the normalised log p.
        sum_of_all = ops.sum(gradient, axis=-1, keepdims=True)
        return gradient - ops.softmax(self.logits, axis=-1) * sum_of_all

    def log_prob(self, x: Array) -> Array:
        return ops.sum(x * ops.log_softmax(self.logits, axis=-1), axis=-1)

    def score(self, hard: Array) -> Array:
        return hard - ops.softmax(self.logits, axis=-1)


class Categorical(OneHotCategorical):
    """Categoricals whose values are integers: a program that indexes takes no relaxed value."""

    name = "Categorical"
    relaxable = False

    def encode(self, value: Array) -> Array:
        return ops.one_hot(value, self.logits.shape[-1], self.logits)

    def decode(self, encoded: Array) -> Array:
        return ops.argmax(encoded, axis=-1)


class Draw:
    """One draw of a law together with the latent variables that made it.

    :param law: the law that the value was drawn from; its parameters are stopped here.
    :param hard: the encoded value.
    :param noise: the law's noise, independent of the value: it completes the latent *given* the
        value, which is how the latent is had without asking the host how it sampled.
    """

    def __init__(self, law: Law, hard: Array, noise: Array) -> None:
        self.law = law.stopped()
        self.hard = ops.stop_gradient(hard)
        self.noise = noise
        self.latent = ops.stop_gradient(self.law.latent_given_hard(self.hard, noise))

    @property
    def fixed_noise(self) -> Array:
        """The noise that makes the latent from the logits: its law does not depend on them."""
        return self.latent - self.law.latent(ops.zeros_like(self.noise))

    def soft(self, temperature: Array, law: Law | None = None) -> Array:
        """Returns the relaxed value, at other logits if a law is given, with the same noise."""
        if law is None:
            return self.law.soft(self.latent, temperature)
        return law.soft(law.latent(self.fixed_noise), temperature)

    def score(self) -> Array:
        """Returns d log q(value) / d logits."""
        return self.law.score(self.hard)

    def pull(self, free: Array, conditional: Array) -> Array:
        """Pulls gradients in the latent back to the logits: J^T free - J~^T conditional.

        :param free: d c / d z, pulled back through z = location(logits) + fixed noise.
        :param conditional: d c / d z~, pulled back through z~ = latent_given_hard(logits).
        :returns: an array of the logits' shape.
        """

        slope = self.law.slope_given_hard(self.hard, self.latent)
        return self.law.from_location(free - conditional * slope)


LAWS: dict[str, type[Law]] = {
    law.__name__: law for law in (Bernoulli, Categorical, OneHotCategorical)
}
"""By name."""
