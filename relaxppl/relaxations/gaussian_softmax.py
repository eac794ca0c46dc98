"""Moments of the softmax of independent Gaussians, by two nested one-dimensional quadratures.

With y_j = m_j + s_j e_j and G_j standard Gumbel, E[softmax(y)_i] is the probability that i has the
largest y_i + G_i. In V_j = -(y_j + G_j) that is the integral of f_i prod_{j != i} S_j, f the
density and S the survival function of V: the outer quadrature. The inner one is
S_j(v) = E exp(-exp(v + m_j + s_j e)). A constant coordinate is one of scale zero.
"""

from __future__ import annotations

import math

import numpy as np

from relaxppl import ops
from relaxppl.ops import Array

# The trapezoidal rule converges geometrically here: exp(-exp(x)) is analytic in |Im x| < pi / 2.
_NORMAL = np.arange(-7.2, 7.3, 0.4)
_NORMAL_WEIGHTS = 0.4 * np.exp(-0.5 * _NORMAL**2) / np.sqrt(2.0 * np.pi)
# The nodes for log E, E exponential, are spread double-exponentially into its long left tail.
_SPREAD = np.arange(-3.4, 4.4, 0.15)
_LOG_E = _SPREAD - np.exp(-_SPREAD)
_LOG_E_WEIGHTS = 0.15 * (1.0 + np.exp(-_SPREAD)) * np.exp(_LOG_E - np.exp(_LOG_E))

_REACH = 7.0
"""Standard deviations beyond which a normal law is left out."""
_UNIFORM = np.linspace(0.0, 1.0, 257)
_GL_NODES, _GL_WEIGHTS = np.polynomial.legendre.leggauss(256)


def _asinh(x: Array) -> Array:
    """The inverse of sinh at x >= 0."""
    return ops.log(x + ops.sqrt(x * x + 1.0))


def _sinh_nodes(left: Array, right: Array, width: Array, unit: np.ndarray) -> tuple[Array, Array]:
    """Returns nodes in [-left, right] that lie densely, ``width`` apart, about zero.

    What happens at a distance d from the floor, the largest m_j - 6 s_j, has a scale that grows
    with d: a coordinate with a small scale is either near the floor, or far below it and but for a
    chance of 1e-9 not the largest. Hence a step that grows with d, and few nodes for scales however
    far apart.

    :param left: (*batch, 1), as are ``right`` and ``width``.
    :param unit: nodes in [0, 1], (n,).
    :returns: the nodes and their derivative in the unit variable, (n, *batch, 1).
    """
    low, high = -_asinh(left / width), _asinh(right / width)
    u = low + (high - low) * ops.like(low, unit).reshape((-1,) + (1,) * len(low.shape))
    grow, shrink = ops.exp(u), ops.exp(-u)
    return 0.5 * width * (grow - shrink), 0.5 * width * (grow + shrink) * (high - low)


def _floor(loc: Array, scale: Array, reach: float = 6.0) -> Array:
    """Returns what some coordinate exceeds but for a chance of Phi(-reach), (*batch, 1)."""
    return ops.max(loc - reach * scale, axis=-1, keepdims=True)


def _perturbed(x: Array, scale: Array) -> tuple[Array, Array, Array]:
    """Returns E[S], E[t S] and E[t^2 S] of S = exp(-t), t = exp(x + scale * e).

    The first is the survival function of V at v with x = v + m, the second its density.

    :param x: (n, *batch, K).
    :param scale: (*batch, K).
    """
    column = (-1,) + (1,) * len(x.shape)
    narrow = scale < 1.0
    # Of the two variables the wider one is integrated in closed form, or the grid would be coarse.
    small = ops.where(narrow, scale, 0.0)
    large = ops.where(narrow, 1.0, scale)

    log_t = ops.clip(x + small * ops.like(x, _NORMAL).reshape(column), None, 6.0)
    t = ops.exp(log_t)
    decay = ops.like(x, _NORMAL_WEIGHTS).reshape(column) * ops.exp(-t)
    direct = [ops.sum(decay, axis=0), ops.sum(decay * t, axis=0), ops.sum(decay * t * t, axis=0)]

    log_e = ops.like(x, _LOG_E).reshape(column)
    weights = ops.like(x, _LOG_E_WEIGHTS).reshape(column)
    standard = (log_e - x) / large
    density = weights * ops.exp(-0.5 * standard**2) / (math.sqrt(2.0 * math.pi) * large)
    parts = [
        ops.sum(weights * ops.ndtr(standard), axis=0),
        ops.sum(density, axis=0),
        ops.sum(density * ops.exp(log_e), axis=0),
    ]
    first, second, third = (ops.where(narrow, d, p) for d, p in zip(direct, parts, strict=True))
    return first, second, third


def softmax_moments(loc: Array, scale: Array) -> tuple[Array, Array, Array]:
    """Returns E[x_i], E[x_i^2] and E[logsumexp(y)] of x = softmax(y).

    :param loc: the means of y, (*batch, K).
    :param scale: the standard deviations, zero for a constant, (*batch, K).
    :returns: (*batch, K), (*batch, K) and (*batch).
    """
    loc, scale = ops.broadcast_arrays(loc, scale)
    m, s = ops.stop_gradient(loc), ops.stop_gradient(scale)
    floor = _floor(m, s)
    left = ops.max(m + _REACH * s, axis=-1, keepdims=True) - floor + 27.0
    right = floor - _floor(m, s, _REACH) + 4.0
    nodes, weights = _sinh_nodes(left, right, ops.full_like(floor, 5.0), _UNIFORM)
    weights = weights / (len(_UNIFORM) - 1)

    survival, density, second = _perturbed(nodes + (loc - floor), scale)
    log_survival = ops.log(ops.clip(survival, ops.tiny(survival), None))
    log_all = ops.sum(log_survival, axis=-1, keepdims=True)
    others = weights * ops.exp(log_all - log_survival)
    # The least V, whose mean is wanted, less a Gumbel variable about the floor: the integrand
    # vanishes at both ends.
    step = ops.exp(-ops.exp(ops.clip(nodes, None, 6.0)))
    excess = ops.sum(weights * (step - ops.exp(log_all)), axis=0)[..., 0]
    return (
        ops.sum(density * others, axis=0),
        ops.sum(second * others, axis=0),
        floor[..., 0] + excess,
    )


def argmax_probs(loc: Array, scale: Array, constant: Array | None = None) -> Array:
    """Returns the probability of each of independent Gaussians to be the largest.

    :param loc: the means, (*batch, K).
    :param scale: the standard deviations, positive, (*batch, K).
    :param constant: a further, constant coordinate, (*batch, 1).
    :returns: (*batch, K), or (*batch, K + 1) with the constant's own probability last.
    """
    loc, scale = ops.broadcast_arrays(loc, scale, *([] if constant is None else [constant]))[:2]
    m, s = ops.stop_gradient(loc), ops.stop_gradient(scale)
    floor = _floor(m, s)
    low = _floor(m, s, _REACH)
    high = ops.max(m + _REACH * s, axis=-1, keepdims=True)
    least = ops.min(s, axis=-1, keepdims=True)
    all_below = None
    moving: Array = 0.0
    if constant is not None:
        constant = ops.broadcast_to(constant, floor.shape)
        all_below = ops.exp(ops.sum(ops.log_ndtr((constant - loc) / scale), axis=-1, keepdims=True))
        edge = ops.stop_gradient(constant)
        floor, low = (ops.maximum(x, edge) for x in (floor, low))
        high = ops.maximum(high, low)
        # The lower end of the integral moves with the constant, and with it the nodes.
        moving = constant - edge
    nodes, weights = _sinh_nodes(floor - low, high - floor, least, 0.5 + 0.5 * _GL_NODES)
    weights = weights * ops.like(m, 0.5 * _GL_WEIGHTS).reshape((-1,) + (1,) * len(m.shape))
    standard = (nodes + moving + (floor - loc)) / scale
    density = ops.exp(-0.5 * standard**2) / (math.sqrt(2.0 * math.pi) * scale)
    log_below = ops.log_ndtr(standard)
    others = ops.exp(ops.sum(log_below, axis=-1, keepdims=True) - log_below)
    probs = ops.sum(weights * density * others, axis=0)
    return probs if all_below is None else ops.concatenate([probs, all_below], axis=-1)
