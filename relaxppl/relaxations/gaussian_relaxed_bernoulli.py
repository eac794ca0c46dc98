"""The Gaussian relaxation of a Bernoulli gate, also known as a stochastic gate.

x = clip(loc + scale * e, 0, 1) with e standard normal.
Yamada et al., 2020 (arXiv:1810.04247), section 3; the authors' code adds 1/2 to the location.
"""

from __future__ import annotations

from typing import ClassVar

from relaxppl import ops
from relaxppl.ops import Array
from relaxppl.ops.constants import LOG_2PI
from relaxppl.relaxations.base import Parameter, Parameters
from relaxppl.relaxations.gates import Gate, window

_HALF_WIDTH = 9.0
"""The standard deviations beyond which the normal density does not matter."""


class GaussianRelaxedBernoulli(Gate):
    """x = clip(loc + scale * e, 0, 1) with e standard normal: a gate on [0, 1] with atoms.

    P(x = 0) = Phi(-loc / scale), P(x = 1) = Phi((loc - 1) / scale), and in between the density is
    that of N(loc, scale), not renormalised; ``log_prob`` is the log mass or the log density.
    The hard gate is [x > 1/2], open with probability ``probs`` = Phi((loc - 1/2) / scale); the
    expected number of gates that are not zero is ``expected_l0`` = Phi(loc / scale).

    :param loc: the location of the normal variable, (*batch_shape).
    :param scale: its standard deviation, positive, (*batch_shape).
    :raises ValueError: if scale is not positive, or loc is not finite.

    Yamada et al., 2020 (arXiv:1810.04247), section 3.
    """

    parameters: ClassVar[Parameters] = (Parameter("loc", "real"), Parameter("scale", "positive"))
    noise = "normal"
    hard_law = "Bernoulli"
    further = (*Gate.further, "probs")

    def sample(self, noise: Array) -> Array:
        return ops.clip(self.loc + self.scale * noise, 0.0, 1.0)

    def log_masses(self) -> tuple[Array, Array]:
        below, above = -self.loc / self.scale, (self.loc - 1.0) / self.scale
        return ops.log_ndtr(below), ops.log_ndtr(above)

    def log_density(self, value: Array) -> Array:
        e = (value - self.loc) / self.scale
        return -0.5 * e * e - ops.log(self.scale) - 0.5 * LOG_2PI

    def log_tails(self, point: Array) -> tuple[Array, Array]:
        e = (point - self.loc) / self.scale
        return ops.log_ndtr(e), ops.log_ndtr(-e)

    def edges(self) -> list[Array]:
        zero, one = ops.zeros_like(self.loc), ops.full_like(self.loc, 1.0)
        return window(self.loc, _HALF_WIDTH * self.scale, zero, one)

    def icdf(self, probability: Array) -> Array:
        return self.sample(ops.ndtri(probability))

    def entropy(self) -> Array:
        """Returns the entropy relative to length on (0, 1) plus a unit mass at 0 and at 1."""
        zero, one = self.log_masses()
        low, high = -self.loc / self.scale, (1.0 - self.loc) / self.scale
        flip = ops.where(low > 0.0, ops.full_like(low, -1.0), 1.0)
        inside = flip * (ops.ndtr(flip * high) - ops.ndtr(flip * low))
        # E[e^2; inside] in -E[log density; inside], by integrating by parts.
        second = inside + low * _density(low) - high * _density(high)
        middle = inside * (ops.log(self.scale) + 0.5 * LOG_2PI) + 0.5 * second
        return middle - ops.exp(zero) * zero - ops.exp(one) * one

    @property
    def probs(self) -> Array:
        """P(x > 1/2), the probability that the hard gate is open, (*batch_shape)."""
        return ops.ndtr((self.loc - 0.5) / self.scale)

    def expected_l0(self) -> Array:
        return ops.ndtr(self.loc / self.scale)

    def deterministic_gate(self) -> Array:
        return self.full(ops.clip(self.loc, 0.0, 1.0))

    def harden(self, value: Array) -> Array:
        return ops.cast(value > 0.5, value)


def _density(e: Array) -> Array:
    return ops.exp(-0.5 * e * e - 0.5 * LOG_2PI)
