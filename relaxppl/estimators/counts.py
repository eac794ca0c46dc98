"""Counts by their parameters, and how their means move with them: differences, not derivatives.

For f of a count N, with D f(n) = f(n + 1) - f(n):

- Poisson with the rate r: d E f / d r = E D f(N);
- Binomial of n trials: d E f / d p = n E D f(N'), N' what is left of N without one of the trials;
  that trial succeeded with probability N / n, given N;
- negative binomial, a Poisson whose rate is a gamma variable of shape r times e^a: d E f / d a =
  p E (N + r) D f(N), p = sigmoid(a), since the gamma has the mean p (N + r) given N;
- as a sum of a Poisson number of logarithmic variables L it grows with r by d E f / d r =
  E [f(N + L) - f(N)] log(1 / (1 - p)).
"""

from __future__ import annotations

from typing import Any, ClassVar

from relaxppl import ops
from relaxppl.ops import Array


class Count:
    """A law of counts.

    :param parameters: those that a gradient is estimated in, (P, *batch, *event).
    """

    name: ClassVar[str]
    noises: ClassVar[int]
    """How many logistic variables it takes for each draw."""

    def __init__(self, parameters: Array) -> None:
        self.parameters = parameters

    def stopped(self) -> Count:
        """Returns this law with its parameters stopped."""
        return type(self)(ops.stop_gradient(self.parameters))

    def others(self, value: Array, noise: Array) -> Array:
        """Returns the values at which the costs are needed too.

        :param value: the draws as floats, (*batch, *event).
        :param noise: standard logistic, (noises, *batch, *event).
        :returns: (C, *batch, *event).
        """
        raise NotImplementedError

    def local_gradient(self, value: Array, others: Array, changed: Array) -> Array:
        """Returns h, of the parameters' shape.

        :param changed: by how much each other value changes the costs, (C, *batch, *event).
        """
        raise NotImplementedError


class Poisson(Count):
    """Poisson counts by their rate."""

    name = "Poisson"
    noises = 0

    def others(self, value: Array, noise: Array) -> Array:
        return value[None] + 1.0

    def local_gradient(self, value: Array, others: Array, changed: Array) -> Array:
        return changed


class Binomial(Count):
    """Binomial counts by their logits.

    :param logits: (*batch, *event).
    :param trials: of the same shape; nothing is differentiated in them.
    """

    name = "Binomial"
    noises = 1

    def __init__(self, logits: Array, trials: Array) -> None:
        super().__init__(logits[None])
        self.trials = trials

    def stopped(self) -> Binomial:
        return Binomial(ops.stop_gradient(self.parameters[0]), ops.stop_gradient(self.trials))

    def others(self, value: Array, noise: Array) -> Array:
        succeeded = ops.cast(ops.sigmoid(noise[0]) * self.trials < value, value)
        # Of no trials there is no other value, and its factor is zero.
        return ops.minimum(value + 1.0 - 2.0 * succeeded, self.trials)[None]

    def local_gradient(self, value: Array, others: Array, changed: Array) -> Array:
        slope = ops.sigmoid(self.parameters) * ops.sigmoid(-self.parameters)
        return self.trials * slope * (others - value) * changed


class NegativeBinomial(Count):
    """Negative binomial counts, a geometric one among them: by the log of its odds, and its shape.

    :param logits: the log odds p / (1 - p) of one more, (*batch, *event).
    :param total: the number of failures that it stops at, of the same shape, any positive number.
    :param learned: whether the gradient in ``total`` is estimated too.
    """

    name = "NegativeBinomial"
    noises = 2

    def __init__(self, logits: Array, total: Array, learned: bool = True) -> None:
        super().__init__(ops.stack([logits, total] if learned else [logits], axis=0))
        self.total, self.learned = total, learned

    def stopped(self) -> NegativeBinomial:
        logits, total = ops.stop_gradient(self.parameters[0]), ops.stop_gradient(self.total)
        return NegativeBinomial(logits, total, self.learned)

    def others(self, value: Array, noise: Array) -> Array:
        if not self.learned:
            return value[None] + 1.0
        # Kemp, 1981: a geometric variable whose parameter is 1 - (1 - p)^u.
        power = ops.sigmoid(noise[0]) * ops.softplus(self.parameters[0])
        base = ops.clip(-ops.expm1(-power), ops.tiny(value), 1.0 - ops.eps(value))
        logarithmic = 1.0 + ops.log_sigmoid(noise[1]) / ops.log(base) // 1.0
        return ops.stack([value + 1.0, value + logarithmic], axis=0)

    def local_gradient(self, value: Array, others: Array, changed: Array) -> Array:
        logits = self.parameters[0]
        factors: list[Any] = [ops.sigmoid(logits) * (value + self.total)]
        if self.learned:
            factors.append(ops.softplus(logits))
        return ops.stack(factors, axis=0) * changed
