"""Moments of the softmax of independent Gaussians, by two nested one-dimensional quadratures.

With y_j = m_j + s_j e_j and G_j standard Gumbel, E[softmax(y)_i] is the probability that i has the
largest y_i + G_i. In V_j = -(y_j + G_j) that is the integral of f_i prod_{j != i} S_j, f the
density and S the survival function of V: the outer quadrature. The inner one is
S_j(v) = E exp(-exp(v + m_j + s_j e)). A constant coordinate is one of scale zero.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from relaxppl import ops
from relaxppl.relaxations.base import Array

_REACH = 9.0
"""Standard deviations beyond which a normal law is left out."""

# The trapezoidal rule converges geometrically here: exp(-exp(x)) is analytic in |Im x| < pi / 2.
_NORMAL = np.arange(-_REACH, _REACH + 0.2, 0.4)
_NORMAL_WEIGHTS = 0.4 * np.exp(-0.5 * _NORMAL**2) / np.sqrt(2.0 * np.pi)
# The nodes for log E, E exponential, are spread double-exponentially into its long left tail.
_SPREAD = np.arange(-4.0, 4.6, 0.1)
_LOG_E = _SPREAD - np.exp(-_SPREAD)
_LOG_E_WEIGHTS = 0.1 * (1.0 + np.exp(-_SPREAD)) * np.exp(_LOG_E - np.exp(_LOG_E))

_GL_NODES, _GL_WEIGHTS = np.polynomial.legendre.leggauss(32)


def _over_sorted_pieces(
    fn: Callable[[Array], Array], edges: Array, low: Array, high: Array
) -> Array:
    """Returns the integral from low to high, by 32 Gauss-Legendre nodes between the edges.

    :param fn: maps nodes (n, *batch, 1) to values (n, *batch, m).
    :param edges: in any order, (*batch, J); those outside are moved to the ends.
    :param low: (*batch, 1).
    :param high: (*batch, 1).
    :returns: (*batch, m).
    """
    edges = ops.stop_gradient(ops.concatenate([edges, low, high], axis=-1))
    low, high = ops.stop_gradient(low), ops.stop_gradient(high)
    edges = ops.where(edges < low, low, ops.where(edges > high, high, edges))
    edges = ops.take_along_axis(edges, ops.top_k(edges, edges.shape[-1]), axis=-1)
    middle = 0.5 * (edges[..., :-1] + edges[..., 1:])
    half = 0.5 * (edges[..., :-1] - edges[..., 1:])
    column = (-1,) + (1,) * len(middle.shape)
    nodes = middle + half * ops.like(low, _GL_NODES).reshape(column)
    weights = half * ops.like(low, _GL_WEIGHTS).reshape(column)
    # From (32, *batch, pieces) to (32 pieces, *batch, 1).
    shape = (-1, *low.shape)
    nodes = ops.moveaxis(nodes, -1, 0).reshape(shape)
    weights = ops.moveaxis(weights, -1, 0).reshape(shape)
    return ops.sum(weights * fn(nodes), axis=0)


def _perturbed(x: Array, scale: Array) -> tuple[Array, Array, Array]:
    """Returns E[S], E[x S'] and E[x^2 S''] of S = exp(-t), t = exp(x + scale * e), in t.

    The first is the survival function of V at v with x = v + m, the second its density.

    :param x: (n, *batch, K).
    :param scale: (*batch, K).
    """
    column = (-1,) + (1,) * len(x.shape)
    narrow = scale < 1.0
    # Of the two variables the wider one is integrated in closed form, or the grid would be coarse.
    small = ops.where(narrow, scale, 0.0 * scale)
    large = ops.where(narrow, 1.0 + 0.0 * scale, scale)

    log_t = ops.clip(x + small * ops.like(x, _NORMAL).reshape(column), None, 6.0)
    weights = ops.like(x, _NORMAL_WEIGHTS).reshape(column)
    t = ops.exp(log_t)
    decay = weights * ops.exp(-t)
    direct = [ops.sum(decay, axis=0), ops.sum(decay * t, axis=0), ops.sum(decay * t * t, axis=0)]

    log_e = ops.like(x, _LOG_E).reshape(column)
    weights = ops.like(x, _LOG_E_WEIGHTS).reshape(column)
    standard = (log_e - x) / large
    density = weights * ops.exp(-0.5 * standard**2) / (np.sqrt(2.0 * np.pi) * large)
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
    loc, scale = loc + 0.0 * scale, scale + 0.0 * loc
    low = -ops.max(loc + _REACH * scale, axis=-1, keepdims=True) - 38.0
    high = -ops.max(loc - _REACH * scale, axis=-1, keepdims=True) + 4.0
    width = 4.0 + 4.0 * scale
    edges = ops.concatenate([-loc - width, -loc, -loc + width], axis=-1)

    def integrands(v: Array) -> Array:
        survival, density, second = _perturbed(v + loc, scale)
        log_survival = ops.log(ops.clip(survival, ops.tiny(survival), None))
        log_all = ops.sum(log_survival, axis=-1, keepdims=True)
        others = ops.exp(log_all - log_survival)
        return ops.concatenate([density * others, second * others, ops.exp(log_all)], axis=-1)

    total = _over_sorted_pieces(integrands, edges, low, high)
    size = loc.shape[-1]
    # The least V has mean low + the integral of its survival function; Gumbel's own mean is taken
    # off again.
    least = total[..., -1] + ops.stop_gradient(low)[..., 0]
    return total[..., :size], total[..., size : 2 * size], -least - float(np.euler_gamma)


def argmax_probs(loc: Array, scale: Array, constant: Array | None = None) -> Array:
    """Returns the probability of each of independent Gaussians to be the largest.

    :param loc: the means, (*batch, K).
    :param scale: the standard deviations, positive, (*batch, K).
    :param constant: a further, constant coordinate, (*batch, 1).
    :returns: (*batch, K), or (*batch, K + 1) with the constant's own probability last.
    """
    loc, scale = loc + 0.0 * scale, scale + 0.0 * loc
    low = ops.max(loc - _REACH * scale, axis=-1, keepdims=True)
    high = ops.max(loc + _REACH * scale, axis=-1, keepdims=True)
    all_below = None
    if constant is not None:
        constant = constant + 0.0 * low
        all_below = ops.exp(ops.sum(ops.log_ndtr((constant - loc) / scale), axis=-1, keepdims=True))
        low = ops.where(low > constant, low, constant)
        high = ops.where(high > low, high, low)
    edges = ops.concatenate([loc - 4.0 * scale, loc, loc + 4.0 * scale], axis=-1)

    def integrands(y: Array) -> Array:
        standard = (y - loc) / scale
        density = ops.exp(-0.5 * standard**2) / (np.sqrt(2.0 * np.pi) * scale)
        log_below = ops.log_ndtr(standard)
        return density * ops.exp(ops.sum(log_below, axis=-1, keepdims=True) - log_below)

    probs = _over_sorted_pieces(integrands, edges, low, high)
    if all_below is None:
        return probs
    return ops.concatenate([probs, all_below], axis=-1)
