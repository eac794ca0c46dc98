"""What the relaxations of a one-hot categorical share: parameterisations and discrete law."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from relaxppl import ops
from relaxppl.ops import Array
from relaxppl.relaxations.base import OneOf, Parameter, Relaxation
from relaxppl.relaxations.cached import cached_property

PROBS_OR_LOGITS = OneOf((Parameter("probs", "simplex", 1), Parameter("logits", "real_vector", 1)))


def probs_to_logits(probs: Array) -> Array:
    """Returns log p, finite where p = 0; the gradient there is zero and not NaN."""
    low = ops.tiny(probs)
    return ops.log(ops.where(probs < low, low, probs))


class OneHot(Relaxation):
    """A relaxation of the one-hot categorical law with the given logits, (..., K)."""

    event_rank = 1

    @cached_property
    def logits(self) -> Array:
        """The log probabilities of the K classes, up to a constant."""
        return probs_to_logits(self.probs)

    @cached_property
    def probs(self) -> Array:
        """The probabilities of the K classes."""
        return ops.softmax(self.logits, axis=-1)

    @cached_property
    def log_probs(self) -> Array:
        """The normalised log probabilities of the K classes."""
        return ops.log_softmax(self.logits, axis=-1)

    @property
    def size(self) -> int:
        """The number K of classes."""
        return ops.size(self.__dict__["logits" if "logits" in self.__dict__ else "probs"])

    @property
    def event_shape(self) -> tuple[int, ...]:
        return (self.size,)

    def harden(self, value: Array) -> Array:
        return ops.one_hot(ops.argmax(value, axis=-1), self.size, value)


class OneHotLaw(OneHot):
    """The discrete law itself, shared by the straight-through classes."""

    support = "one_hot"
    discrete = True
    enumerable = True
    hard_law: ClassVar[str | None] = "OneHotCategorical"

    def log_prob(self, value: Array) -> Array:
        return ops.sum(value * self.log_probs, axis=-1)

    def mean(self) -> Array:
        return self.probs

    def variance(self) -> Array:
        return self.probs * (1.0 - self.probs)

    def entropy(self) -> Array:
        return -ops.sum(self.probs * self.log_probs, axis=-1)

    def enumerate_support(self) -> Array:
        return ops.like(self.log_probs, np.eye(self.size))


class OneHotCategorical(OneHotLaw):
    """One-hot vectors of the class that wins argmax_i (log p_i + g_i), with g standard Gumbel.

    The discrete law itself: its samples carry no gradient.

    :param probs: the probabilities p, on the simplex, (*batch_shape, K); or
    :param logits: log p up to a constant, (*batch_shape, K).
    :raises ValueError: for a parameter outside its constraint, or both or neither of probs and
        logits.
    """

    parameters = (PROBS_OR_LOGITS,)
    support = "discrete_one_hot"
    noise = "gumbel"
    reparameterized = False

    def sample(self, noise: Array) -> Array:
        return ops.stop_gradient(self.harden(self.logits + noise))
