"""The law of the first k of n exponential clocks: an unordered sample without replacement.

Item i rings at E_i / p_i, E_i exponential; the set S is drawn when all of it rings before the rest.
"""

from __future__ import annotations

import math

import numpy as np

from relaxppl import ops
from relaxppl.ops import Array
from relaxppl.ops.constants import NEVER

_SPAN = 40.0
"""How far into an exponential tail a quadrature reaches: exp(-40) is below float64's resolution."""


def _log_rung(log_rate: Array) -> Array:
    """Returns log(1 - exp(-exp(u))): a clock of rate e^u rings before time 1."""
    # Below the first bound u itself is the answer; above the second the answer is zero to rounding,
    # and exp(u) would overflow.
    small = log_rate < -16.0
    inside = ops.clip(ops.where(small, -16.0, log_rate), None, 6.0)
    tail = ops.log(-ops.expm1(-ops.exp(inside)))
    return ops.where(small, log_rate - 0.5 * ops.exp(ops.clip(log_rate, -60.0, -16.0)), tail)


def log_prob_of_subset(log_probs: Array, member: Array, k: int) -> Array:
    """Returns the log probability that the first k items drawn are the members, in any order.

    With p_rest the probability of the others, it is the logarithm of the integral over the real
    line of exp(v - e^v) prod_{i in S} (1 - exp(-e^v p_i / p_rest)) dv, whose logarithm is concave
    with its mode between 0 and log(k + 1): the trapezoidal rule on a fixed window, in log space.

    :param log_probs: normalised, (..., n).
    :param member: booleans, k of them true, (..., n).
    :param k: their number.
    :returns: (...).
    """
    log_p, member = ops.broadcast_arrays(log_probs, member)
    if k == ops.size(log_p):
        return ops.zeros_like(log_p[..., 0])
    rest = ops.logsumexp(ops.where(member, NEVER, log_p), axis=-1, keepdims=True)
    # Only the k members enter the product: gather them, as n may be much larger.
    index = ops.top_k(ops.cast(member, log_p), k)
    ratio = ops.take_along_axis(log_p, index, axis=-1) - rest
    # The integrand is no narrower than 1 / sqrt(k + 1), its curvature at the mode being at most
    # k + 1 times that of each factor.
    step = 0.5 / math.sqrt(k + 1.0)
    nodes = np.arange(-_SPAN, math.log(k + 1.0 + _SPAN + 9.0 * math.sqrt(k + 1.0)), step)
    column = (-1,) + (1,) * len(ratio.shape[:-1])
    v = ops.like(log_p, nodes).reshape(column)
    log_clock = ops.like(log_p, nodes - np.exp(nodes) + math.log(step)).reshape(column)
    rung = ops.sum(_log_rung(ratio + v[..., None]), axis=-1)
    return ops.logsumexp(log_clock + rung, axis=0)


def inclusion_probs(log_probs: Array, k: int) -> Array:
    """Returns the probability of each item to be among the first k drawn.

    The integral over the time v = log t of i's own clock of the probability that fewer than k of
    the other clocks have rung, a Poisson-binomial law.

    :param log_probs: normalised, (..., n).
    :param k: how many are drawn.
    :returns: (..., n).
    """
    size = ops.size(log_probs)
    if k == size:
        return ops.full_like(log_probs, 1.0)
    step = 0.5 / math.sqrt(k + 1.0)
    nodes = np.arange(-_SPAN, math.log(_SPAN), step)
    own = ops.like(log_probs, nodes).reshape((-1,) + (1,) * len(log_probs.shape))
    weight = ops.exp(own - ops.exp(own)) * step
    # Rows: item i's clock at e^v; columns: have the others rung by then? (nodes, ..., n, n)
    log_rate = own[..., None] + log_probs[..., None, :] - log_probs[..., :, None]
    not_rung = ops.exp(-ops.exp(ops.clip(log_rate, None, 6.0)))
    eye = ops.like(log_probs, np.eye(size))
    not_rung = eye + (1.0 - eye) * not_rung
    counts = _counts_below(not_rung, k)
    return ops.sum(weight * counts, axis=0)


def _counts_below(not_rung: Array, k: int) -> Array:
    """Returns P(fewer than k of independent events) from the probabilities of their complements.

    The generating polynomials, cut off at degree k - 1, are multiplied in pairs: the depth, and so
    a compiled program, grows with log n.
    """
    polynomials: list[Array] = [not_rung, 1.0 - not_rung][:k]
    while ops.size(polynomials[0]) > 1:
        odd = ops.size(polynomials[0]) % 2
        left = [c[..., : ops.size(c) - odd : 2] for c in polynomials]
        right = [c[..., 1::2] for c in polynomials]
        degree = min(k, 2 * len(polynomials) - 1)
        product: list[Array] = []
        for d in range(degree):
            terms = [left[a] * right[d - a] for a in range(len(left)) if 0 <= d - a < len(right)]
            total = terms[0]
            for term in terms[1:]:
                total = total + term
            product.append(total)
        if odd:
            last = [c[..., -1:] for c in polynomials]
            last += [ops.zeros_like(last[0])] * (len(product) - len(last))
            product = [
                ops.concatenate([c, of_last], axis=-1)
                for c, of_last in zip(product, last, strict=True)
            ]
        polynomials = product
    total = polynomials[0]
    for polynomial in polynomials[1:]:
        total = total + polynomial
    return total[..., 0]
