"""What the gates share: a variable clipped to [0, 1], with atoms at both ends."""

from __future__ import annotations

from typing import ClassVar

from relaxppl import ops
from relaxppl.moments.quadrature import over_pieces
from relaxppl.ops import Array
from relaxppl.relaxations.base import Relaxation


class Gate(Relaxation):
    """x = clip(y, 0, 1) for a continuous y: a mixed law, with mass at 0 and at 1.

    log_prob is the log mass at exactly 0 and 1, and the log density of y in between.
    """

    support = "unit_interval_with_atoms"
    further: ClassVar[tuple[str, ...]] = ("expected_l0", "deterministic_gate")

    def log_masses(self) -> tuple[Array, Array]:
        """Returns log P(x = 0) and log P(x = 1)."""
        raise NotImplementedError

    def log_density(self, value: Array) -> Array:
        """Returns the log density of y at a value in [0, 1]."""
        raise NotImplementedError

    def log_tails(self, point: Array) -> tuple[Array, Array]:
        """Returns log P(y < t) and log P(y > t) at t = value(point)."""
        raise NotImplementedError

    def edges(self) -> list[Array]:
        """Returns points from t = 0 to t = 1 between which the tails are smooth."""
        raise NotImplementedError

    def value(self, point: Array) -> Array:
        """Returns t at a point of the axis that integrals are taken along."""
        return point

    def slope(self, point: Array) -> Array:
        """Returns dt / d point."""
        return ops.like(point, 1.0)

    def point(self, value: Array) -> Array:
        """Returns the point of that axis where t = value."""
        return value

    def log_prob(self, value: Array) -> Array:
        zero, one = self.log_masses()
        inside = self.log_density(ops.clip(value, 0.0, 1.0))
        return ops.where(value <= 0.0, zero, ops.where(value >= 1.0, one, inside))

    def cdf(self, value: Array) -> Array:
        below = ops.exp(self.log_tails(self.point(ops.clip(value, 0.0, 1.0)))[0])
        below = ops.where(value < 0.0, 0.0, below)
        return ops.where(value >= 1.0, 1.0, below)

    def expected_l0(self) -> Array:
        """Returns P(x > 0), the expected number of open gates at each element, (*batch_shape)."""
        raise NotImplementedError

    def deterministic_gate(self) -> Array:
        """Returns the gate to use at test time, the value at zero noise, (*batch_shape)."""
        raise NotImplementedError

    def mean(self) -> Array:
        """Returns the integral of P(x > t) over (0, 1)."""
        return over_pieces(self._above, self.edges())

    def variance(self) -> Array:
        """Returns E(x - m)^2, by integrals of positive terms only: nothing cancels."""
        mean = self.mean()
        middle, edges = self.point(mean), self.edges()
        lower = [ops.minimum(edge, middle) for edge in edges]
        upper = [ops.maximum(edge, middle) for edge in edges]
        left = over_pieces(lambda s: (mean - self.value(s)) * self._below(s), lower)
        right = over_pieces(lambda s: (self.value(s) - mean) * self._above(s), upper)
        return 2.0 * (left + right)

    def _below(self, point: Array) -> Array:
        return ops.exp(self.log_tails(point)[0]) * self.slope(point)

    def _above(self, point: Array) -> Array:
        return ops.exp(self.log_tails(point)[1]) * self.slope(point)


def window(centre: Array, width: Array, low: Array, high: Array) -> list[Array]:
    """Returns edges from low to high, closer where a function varies: centre +- width."""
    inner = (centre - width, centre, centre + width)
    return ops.broadcast_arrays(low, *(ops.minimum(ops.maximum(s, low), high) for s in inner), high)
