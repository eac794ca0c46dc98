"""Moments and entropy of x = s((a + l) / T) with l standard logistic, by quadrature."""

from __future__ import annotations

from relaxppl import ops
from relaxppl.moments.quadrature import over_half_line, over_logistic
from relaxppl.ops import Array


def _warm_and_cold(temperature: Array) -> tuple[Array, Array]:
    # Each branch of a where() sees a temperature that suits it, so that neither gradient is NaN.
    hot = temperature > 1.0
    return ops.where(hot, temperature, 1.0), ops.where(hot, 1.0, temperature)


def concrete_moment(location: Array, temperature: Array, order: int) -> Array:
    """Returns E[x^order].

    Above T = 1 the integrand s(z / T)^order is smooth in the logistic noise. Below, integrating
    by parts swaps the roles: E[g(z)] is the integral of g' times P(z > .), smooth instead.

    :param location: a, of any shape.
    :param temperature: T, broadcast against a.
    """
    reference = location + temperature
    warm, cold = _warm_and_cold(temperature)
    direct = over_logistic(lambda u: ops.sigmoid((location + u) / warm) ** order, reference)
    by_parts = over_logistic(
        lambda w: order * ops.sigmoid(w) ** (order - 1) * ops.sigmoid(location - cold * w),
        reference,
    )
    return ops.where(temperature > 1.0, direct, by_parts)


def concrete_entropy(location: Array, temperature: Array) -> Array:
    """Returns the entropy: that of the logit y, plus E[log s(y) + log s(-y)].

    :param location: a, of any shape.
    :param temperature: T, broadcast against a.
    """
    reference = location + temperature
    warm, cold = _warm_and_cold(temperature)

    def log_jacobian(noise: Array) -> Array:
        y = (location + noise) / warm
        return ops.log_sigmoid(y) + ops.log_sigmoid(-y)

    def bend(w: Array) -> Array:
        below, above = -location - cold * w, -location + cold * w
        density = ops.exp(ops.log_sigmoid(below) + ops.log_sigmoid(-below))
        density = density + ops.exp(ops.log_sigmoid(above) + ops.log_sigmoid(-above))
        return cold * density * ops.log1p(ops.exp(-w))

    direct = over_logistic(log_jacobian, reference)
    # Below T = 1 the integrand bends sharply at y = 0. It is -|y| - 2 log(1 + exp(-|y|)): the
    # first has a closed mean, the second is integrated on each side of the bend.
    mean_of_abs = (ops.softplus(location) + ops.softplus(-location)) / cold
    split = -mean_of_abs - 2.0 * over_half_line(bend, reference)
    return 2.0 - ops.log(temperature) + ops.where(temperature > 1.0, direct, split)
