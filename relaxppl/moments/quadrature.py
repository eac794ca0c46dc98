"""One-dimensional quadrature for moments that have no closed form."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from relaxppl import ops
from relaxppl.ops import Array

_STEP = 0.25
_NODES = np.arange(-40.0, 40.0 + _STEP / 2, _STEP)


def over_logistic(fn: Callable[[Array], Array], reference: Array) -> Array:
    """Returns E[fn(l)] for l standard logistic.

    The trapezoidal rule on the line converges geometrically for a function analytic in a strip;
    at this step the error is below float64's resolution when fn varies no faster than a sigmoid.

    :param fn: maps an array (n, 1, ..., 1) of nodes to values (n, *shape).
    :param reference: an array whose rank, dtype and device the nodes take.
    :returns: an array of the shape that fn broadcasts to, without the nodes' dimension.
    """
    column = (-1,) + (1,) * len(reference.shape)
    nodes = ops.like(reference, _NODES).reshape(column)
    weights = _STEP * ops.exp(ops.log_sigmoid(nodes) + ops.log_sigmoid(-nodes))
    return ops.sum(weights * fn(nodes), axis=0)


_DE = np.arange(-4.5, 4.0, 0.0625)
_HALF_NODES = np.exp(_DE - np.exp(-_DE))
_HALF_WEIGHTS = 0.0625 * _HALF_NODES * (1.0 + np.exp(-_DE))


def over_half_line(fn: Callable[[Array], Array], reference: Array) -> Array:
    """Returns the integral over (0, inf) of a function that decays like exp(-w).

    The double-exponential rule of Takahasi and Mori, which does not mind a kink at zero.

    :param fn: maps an array (n, 1, ..., 1) of nodes to values (n, *shape).
    :param reference: an array whose rank, dtype and device the nodes take.
    :returns: an array of the shape that fn broadcasts to, without the nodes' dimension.
    """
    column = (-1,) + (1,) * len(reference.shape)
    nodes = ops.like(reference, _HALF_NODES).reshape(column)
    weights = ops.like(reference, _HALF_WEIGHTS).reshape(column)
    return ops.sum(weights * fn(nodes), axis=0)


_GL_NODES, _GL_WEIGHTS = np.polynomial.legendre.leggauss(32)


def over_pieces(fn: Callable[[Array], Array], edges: Sequence[Array]) -> Array:
    """Returns the integral of a function from the first edge to the last.

    The Gauss-Legendre rule with 32 nodes between any two successive edges.

    :param fn: maps an array (n, m, *shape) of nodes to values (n, m, *shape).
    :param edges: arrays of one shape, in increasing order; two may coincide.
    :returns: an array of that shape.
    """
    low, high = ops.stack(edges[:-1], axis=0), ops.stack(edges[1:], axis=0)
    column = (-1,) + (1,) * len(low.shape)
    half, middle = 0.5 * (high - low), 0.5 * (high + low)
    nodes = ops.like(low, _GL_NODES).reshape(column)
    weights = ops.like(low, _GL_WEIGHTS).reshape(column)
    return ops.sum(weights * half * fn(middle + half * nodes), axis=(0, 1))
