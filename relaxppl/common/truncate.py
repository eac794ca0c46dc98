"""Count laws as finite tables: the values 0, ..., n - 1 with the whole tail on the last.

Joo et al., 2020 (arXiv:2003.01847): what lies beyond the table has at most a given mass, which the
last value takes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from relaxppl import ops
from relaxppl.common.shell import probs_or_logits
from relaxppl.ops import Array
from relaxppl.ops.constants import NEVER
from relaxppl.relaxations.binary import probs_to_logits

_MOST_VALUES = 1_000_000


def poisson(rate: Array, k: Array) -> Array:
    """Returns log P(k) of a Poisson law at counts along a new last axis."""
    rate = ops.clip(rate, ops.tiny(rate), None)[..., None]
    return k * ops.log(rate) - rate - ops.gammaln(k + 1.0)


def binomial(total_count: Array, logits: Array, k: Array) -> Array:
    """Returns log P(k) of a binomial law at counts along a new last axis."""
    n, logits = total_count[..., None], logits[..., None]
    possible = k <= n
    left = ops.where(possible, n - k, 0.0)
    ways = ops.gammaln(n + 1.0) - ops.gammaln(k + 1.0) - ops.gammaln(left + 1.0)
    log_p = ways + k * ops.log_sigmoid(logits) + left * ops.log_sigmoid(-logits)
    return ops.where(possible, log_p, NEVER)


def geometric(logits: Array, k: Array) -> Array:
    """Returns log P(k) of the number of failures before a success of the given log odds."""
    logits = logits[..., None]
    return ops.log_sigmoid(logits) + k * ops.log_sigmoid(-logits)


def negative_binomial(total_count: Array, logits: Array, k: Array) -> Array:
    """Returns log P(k) proportional to C(k + total_count - 1, k) s(logits)^k."""
    r, logits = total_count[..., None], logits[..., None]
    ways = ops.gammaln(k + r) - ops.gammaln(k + 1.0) - ops.gammaln(r)
    return ways + r * ops.log_sigmoid(-logits) + k * ops.log_sigmoid(logits)


def _softplus(x: np.ndarray) -> np.ndarray:
    return np.logaddexp(0.0, x)


Start = tuple[np.ndarray, Callable[[np.ndarray], np.ndarray]]
"""log P(0), (*batch,), and the map of counts k, (n,), to P(k + 1) / P(k), (*batch, n), in NumPy."""


def _poisson_start(rate: np.ndarray) -> Start:
    return -rate, lambda k: rate[..., None] / (k + 1.0)


def _binomial_start(total_count: np.ndarray, logits: np.ndarray) -> Start:
    n, odds = total_count[..., None], np.exp(logits)[..., None]
    return -total_count * _softplus(logits), lambda k: (n - k) / (k + 1.0) * odds


def _geometric_start(logits: np.ndarray) -> Start:
    other = np.exp(-_softplus(logits))[..., None]
    return -_softplus(-logits), lambda k: np.repeat(other, len(k), axis=-1)


def _negative_binomial_start(total_count: np.ndarray, logits: np.ndarray) -> Start:
    r, probs = total_count[..., None], np.exp(-_softplus(-logits))[..., None]
    return -total_count * _softplus(logits), lambda k: (k + r) / (k + 1.0) * probs


LAWS: dict[str, tuple[Callable[..., Array], Callable[..., Start]]] = {
    "poisson": (poisson, _poisson_start),
    "binomial": (binomial, _binomial_start),
    "geometric": (geometric, _geometric_start),
    "negative_binomial": (negative_binomial, _negative_binomial_start),
}
"""By name: log P(k) of a law's parameters, differentiable, and its start in NumPy."""


def table_size(start: Start, tail: float) -> tuple[int, int]:
    """Returns how many values leave at most the tail out, and how many have the whole mass.

    :param start: log P(0) and the ratio of successive masses.
    :param tail: the mass above the last value that may be left out, for every law of the batch.
    :returns: n with P(X >= n) <= tail, and m >= n with P(X >= m) <= 1e-9 tail.
    :raises ValueError: if more than a million values are needed.
    """
    log_p0, ratio = start
    size = 64
    while size <= _MOST_VALUES:
        k = np.arange(size, dtype=np.float64)
        with np.errstate(divide="ignore", over="ignore", under="ignore"):
            ratios = np.maximum(ratio(k), 0.0)
            steps = np.concatenate([log_p0[..., None], np.log(ratios)], axis=-1)
            pmf = np.exp(np.cumsum(steps, axis=-1))
        # Past the mode the ratios fall, or tend to their limit below one: a geometric bound.
        last = ratios[..., -1]
        beyond = np.where(last < 1.0, pmf[..., -1] * last / np.maximum(1.0 - last, 1e-16), 1.0)
        above = np.cumsum(pmf[..., ::-1], axis=-1)[..., ::-1] + beyond[..., None]
        # P(X >= k) for k = 0, ..., size, of the worst law of the batch.
        above = above.reshape(-1, size + 1).max(axis=0)
        if above[-1] <= 1e-9 * tail:
            n = max(int(np.argmax(above <= tail)), 1)
            return n, max(int(np.argmax(above <= 1e-9 * tail)), n)
        size *= 2
    raise ValueError(
        f"truncate: the law needs more than {_MOST_VALUES} values to leave out at most {tail:g}; "
        f"give a larger tail, or a size"
    )


def table(
    law: str,
    parameters: tuple[Array, ...],
    tail: float,
    size: int | None,
) -> tuple[Array, Array]:
    """Returns the values 0, ..., n - 1 of a count law and their log probabilities.

    :param law: a key of LAWS.
    :param parameters: its parameters, each of the batch's shape.
    :param tail: the mass that values above n - 1 may have at most.
    :param size: n, when the caller gives it; the tail is not used then.
    :returns: (n,) and (*batch, n).
    :raises ValueError: if the tail is not between 0 and 1, the size is not a positive int, or
        the parameters are traced and no size is given.
    """
    if not 0.0 < tail < 1.0:
        raise ValueError(f"truncate: tail must be between 0 and 1, got {tail!r}")
    if size is not None and (not isinstance(size, (int, np.integer)) or size < 1):
        raise ValueError(f"truncate: size must be a positive int, got {size!r}")
    log_prob, start = LAWS[law]
    if size is not None:
        n, whole = int(size), 2 * int(size) + 64
    else:
        known = [x.astype(float) for x in map(ops.known, parameters) if x is not None]
        if len(known) < len(parameters):
            raise ValueError(
                "truncate: the number of values cannot depend on parameters that jit or vmap "
                "traces; give size=, the number of values 0, ..., size - 1"
            )
        n, whole = table_size(start(*known), tail)
    log_p = log_prob(*parameters, ops.like(parameters[0], np.arange(whole)))
    last = ops.logsumexp(log_p[..., n - 1 :], axis=-1, keepdims=True)
    if size is not None and n > 1:
        # The window may miss mass when much of it lies beyond; then the complement is exact.
        below = ops.logsumexp(log_p[..., : n - 1], axis=-1, keepdims=True)
        many = below < math.log(0.99)
        rest = ops.log(-ops.expm1(ops.where(many, below, math.log(0.5))))
        last = ops.where(many, rest, last)
    values = ops.like(parameters[0], np.arange(n))
    return values, ops.concatenate([log_p[..., : n - 1], last], axis=-1)


@dataclass(frozen=True)
class Host:
    """What of a count law is a host's.

    :param classes: from its classes to names of laws, or "gamma_poisson".
    :param expanded: its class of expanded distributions.
    :param floats: makes arrays of one floating dtype of what a distribution was given.
    """

    classes: Mapping[type, str]
    expanded: Any
    floats: Callable[..., list[Array]]


def truncated(host: Host, distribution: Any, tail: float, size: int | None) -> tuple[Array, Array]:
    """Returns a count law as a relaxed distribution on 0, ..., n - 1.

    The mass above n - 1 is on n - 1, and n is the least that leaves at most the tail above, for
    every law of the batch. The parameters of the count law stay differentiable.

    :param distribution: a Poisson, binomial, geometric or negative binomial (gamma-Poisson) law,
        (*batch,), expanded or not.
    :param temperature: positive, broadcasting with the batch.
    :param tail: the mass that may lie above n - 1, between 0 and 1.
    :param size: n itself, instead of the tail: required under ``jit`` or ``vmap``, where the
        parameters are not known when n must be.
    :param hard: whether the number is one of the values, as in :class:`GeneralizedGumbelSoftmax`.
    :param validate_args: as the host's.
    :returns: a distribution of batch shape (*batch,).
    :raises TypeError: for another distribution.
    :raises ValueError: for a tail outside (0, 1), for a law that needs more than a million values,
        or for traced parameters without a size.

    Joo et al., 2020 (arXiv:2003.01847).
    """
    shape = tuple(distribution.batch_shape)
    while isinstance(distribution, host.expanded):
        distribution = distribution.base_dist
    floats = host.floats
    law = next((law for cls, law in host.classes.items() if isinstance(distribution, cls)), "")
    match law:
        case "poisson":
            given = floats(distribution.rate)
        case "geometric":
            given = [_logits(distribution, floats)]
        case "binomial" | "negative_binomial":
            given = floats(distribution.total_count, _logits(distribution, floats))
        case "gamma_poisson":
            concentration, rate = floats(distribution.concentration, distribution.rate)
            law, given = "negative_binomial", [concentration, -ops.log(rate)]
        case _:
            raise TypeError(
                "truncate takes a Poisson, Binomial, Geometric, NegativeBinomial or GammaPoisson, "
                f"got {type(distribution).__name__}; give GeneralizedGumbelSoftmax its values and "
                "probs instead"
            )
    return table(law, tuple(ops.broadcast_to(x, shape) for x in given), tail, size)


def _logits(distribution: Any, floats: Callable[..., list[Array]]) -> Array:
    ((name, value),) = probs_or_logits(distribution).items()
    (value,) = floats(value)
    return value if name == "logits" else probs_to_logits(value)
