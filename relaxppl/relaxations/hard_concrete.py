"""The hard Concrete gate.

x = clip(s((a + l) / T) * (high - low) + low, 0, 1) with l standard logistic.
Louizos et al., 2018 (arXiv:1712.01312), equations 10 to 13.
"""

from __future__ import annotations

from typing import ClassVar

from relaxppl import ops
from relaxppl.moments.quadrature import over_pieces
from relaxppl.ops import Array
from relaxppl.relaxations.base import Parameter, Parameters
from relaxppl.relaxations.binary import PROBS_OR_LOGITS, Binary
from relaxppl.relaxations.gates import Gate, window
from relaxppl.relaxations.relaxed_bernoulli import TEMPERATURE, logistic_log_density

_HALF_WIDTH = 40.0
"""The distance beyond which the standard logistic density does not matter."""


class HardConcrete(Gate, Binary):
    """x = clip(s((a + l) / T) * (high - low) + low, 0, 1): a gate on [0, 1] with atoms.

    With a the logit of the open gate, l standard logistic and s the sigmoid:
    P(x = 0) = s(T log(-low / high) - a), P(x = 1) = s(a - T log((1 - low) / (high - 1))), and in
    between the density is the stretched Concrete density, not renormalised; ``log_prob`` is the
    log mass or the log density. ``expected_l0`` = P(x > 0); ``deterministic_gate`` =
    clip(s(a) (high - low) + low, 0, 1). The hard gate is [a + l > 0], open with probability
    ``probs``: ``harden`` reads it off a value, [x > (low + high) / 2], where that lies in (0, 1).

    :param temperature: T, positive, (*batch_shape).
    :param probs: the probability s(a), in [0, 1], (*batch_shape); or
    :param logits: its log odds a, (*batch_shape).
    :param low: the left end of the stretched interval, negative.
    :param high: its right end, greater than 1.
    :raises ValueError: for a parameter outside its constraint, or both or neither of probs and
        logits.

    Louizos et al., 2018 (arXiv:1712.01312), equations 10 to 13.
    """

    parameters: ClassVar[Parameters] = (
        TEMPERATURE,
        PROBS_OR_LOGITS,
        Parameter("low", "negative", default=-0.1),
        Parameter("high", "above_one", default=1.1),
    )

    @property
    def hard_law(self) -> str | None:  # type: ignore[override]
        # A middle that is clipped away leaves the hard gate unknown from the value.
        middle = ops.known(0.5 * (self.low + self.high))
        told = middle is not None and ((middle > 0.0) & (middle < 1.0)).all()
        return "Bernoulli" if told else None

    def sample(self, noise: Array) -> Array:
        return ops.clip(self.value((self.logits + noise) / self.temperature), 0.0, 1.0)

    # Integrals are taken along the logit of the Concrete value: y = (a + l) / T.

    def value(self, point: Array) -> Array:
        return ops.sigmoid(point) * (self.high - self.low) + self.low

    def slope(self, point: Array) -> Array:
        return ops.sigmoid(point) * ops.sigmoid(-point) * (self.high - self.low)

    def point(self, value: Array) -> Array:
        return ops.log(value - self.low) - ops.log(self.high - value)

    def log_tails(self, point: Array) -> tuple[Array, Array]:
        noise = self.temperature * point - self.logits
        return ops.log_sigmoid(noise), ops.log_sigmoid(-noise)

    def edges(self) -> list[Array]:
        inner = self.logits / self.temperature, _HALF_WIDTH / self.temperature
        return window(*inner, self.point(0.0), self.point(1.0))

    def log_masses(self) -> tuple[Array, Array]:
        return self.log_tails(self.point(0.0))[0], self.log_tails(self.point(1.0))[1]

    def log_density(self, value: Array) -> Array:
        above, below = ops.log(value - self.low), ops.log(self.high - value)
        stretch = ops.log(self.high - self.low)
        log_y = logistic_log_density(above - below, self.logits, self.temperature)
        return log_y - above - below + stretch

    def icdf(self, probability: Array) -> Array:
        return self.sample(ops.log(probability) - ops.log1p(-probability))

    def entropy(self) -> Array:
        """Returns the entropy relative to length on (0, 1) plus a unit mass at 0 and at 1."""
        zero, one = self.log_masses()

        def inside(point: Array) -> Array:
            log_y = logistic_log_density(point, self.logits, self.temperature)
            log_slope = ops.log_sigmoid(point) + ops.log_sigmoid(-point)
            return ops.exp(log_y) * (log_slope + ops.log(self.high - self.low) - log_y)

        middle = over_pieces(inside, self.edges())
        return middle - ops.exp(zero) * zero - ops.exp(one) * one

    def expected_l0(self) -> Array:
        return ops.exp(self.log_tails(self.point(0.0))[1])

    def deterministic_gate(self) -> Array:
        return self.full(ops.clip(self.value(self.logits), 0.0, 1.0))

    def harden(self, value: Array) -> Array:
        middle = ops.clip(0.5 * (self.low + self.high), 0.0, 1.0 - ops.eps(value))
        return ops.cast(value > middle, value)
