"""Count laws as finite tables: the values 0, ..., n - 1 with the whole tail on the last.

Joo et al., 2020 (arXiv:2003.01847): what lies beyond the table has at most a given mass, which the
last value takes.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from relaxppl import ops
from relaxppl.relaxations.base import Array

_NEVER = -1e30
_MOST_VALUES = 1_000_000


def poisson(rate: Array, k: Array) -> Array:
    """Returns log P(k) of a Poisson law at counts along a new last axis."""
    rate = ops.clip(rate, ops.tiny(rate), None)[..., None]
    return k * ops.log(rate) - rate - ops.gammaln(k + 1.0)


def binomial(total_count: Array, logits: Array, k: Array) -> Array:
    """Returns log P(k) of a binomial law at counts along a new last axis."""
    n, logits = total_count[..., None], logits[..., None]
    possible = k <= n
    left = ops.where(possible, n - k, 0.0 * n + 0.0 * k)
    ways = ops.gammaln(n + 1.0) - ops.gammaln(k + 1.0) - ops.gammaln(left + 1.0)
    log_p = ways + k * ops.log_sigmoid(logits) + left * ops.log_sigmoid(-logits)
    return ops.where(possible, log_p, _NEVER + 0.0 * log_p)


def geometric(logits: Array, k: Array) -> Array:
    """Returns log P(k) of the number of failures before a success of the given log odds."""
    logits = logits[..., None]
    return ops.log_sigmoid(logits) + k * ops.log_sigmoid(-logits)


def negative_binomial(total_count: Array, logits: Array, k: Array) -> Array:
    """Returns log P(k) proportional to C(k + total_count - 1, k) s(logits)^k."""
    r, logits = total_count[..., None], logits[..., None]
    ways = ops.gammaln(k + r) - ops.gammaln(k + 1.0) - ops.gammaln(r)
    return ways + r * ops.log_sigmoid(-logits) + k * ops.log_sigmoid(logits)


Ratio = Callable[[np.ndarray], np.ndarray]
"""From counts k (..., 1) to P(k + 1) / P(k), in NumPy."""


def table_size(log_p0: np.ndarray, ratio: Ratio, start: float, tail: float) -> tuple[int, int]:
    """Returns how many values leave at most the tail out, and how many have the whole mass.

    :param log_p0: log P(0), (*batch,).
    :param ratio: P(k + 1) / P(k) of counts k, (n,), to (*batch, n).
    :param start: a guess of the second.
    :param tail: the mass above the last value that may be left out, for every law of the batch.
    :returns: n with P(X >= n) <= tail, and m >= n with P(X >= m) <= 1e-9 tail.
    :raises ValueError: if more than a million values are needed.
    """
    size = max(16, int(start))
    while True:
        k = np.arange(size, dtype=np.float64)
        with np.errstate(divide="ignore", over="ignore", under="ignore"):
            ratios = np.maximum(ratio(k), 0.0)
            steps = np.concatenate([log_p0[..., None], np.log(ratios)], axis=-1)
            pmf = np.exp(np.cumsum(steps, axis=-1))
            # Past the mode the ratios fall or tend to their limit below one: a geometric bound.
            last = ratios[..., -1]
            beyond = np.where(last < 1, pmf[..., -1] * last / (1 - np.minimum(last, 1 - 1e-16)), 1)
        above = np.cumsum(pmf[..., ::-1], axis=-1)[..., ::-1] + beyond[..., None]
        # P(X >= k) along the last axis, the worst of the batch.
        above = above.reshape(-1, size + 1).max(axis=0)
        if above[-1] <= 1e-9 * tail:
            n = int(np.argmax(above <= tail))
            m = int(np.argmax(above <= 1e-9 * tail))
            return max(n, 1), max(m, n, 1)
        size *= 2
        if size > _MOST_VALUES:
            raise ValueError(
                f"truncate: the law needs more than {_MOST_VALUES} values to leave at most "
                f"{tail:g}; give a larger tail or a size"
            )


def fold_tail(log_p: Array, size: int) -> Array:
    """Returns the log probabilities of 0, ..., size - 1 with all further mass on the last.

    :param log_p: of at least ``size`` counts, (..., m).
    :param size: n.
    :returns: (..., n).
    """
    last = ops.logsumexp(log_p[..., size - 1 :], axis=-1, keepdims=True)
    return ops.concatenate([log_p[..., : size - 1], last], axis=-1)


def check_tail(tail: float) -> None:
    """Checks the tail.

    :raises ValueError: if it is not between 0 and 1.
    """
    if not 0.0 < tail < 1.0 or math.isnan(tail):
        raise ValueError(f"truncate: tail must be between 0 and 1, got {tail!r}")
