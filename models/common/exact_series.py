"""Exact answers about hidden Markov models, by forward and backward recursion."""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]


def states_given_series(
    log_likelihood: Array, first: Array, moves: Array
) -> tuple[Array, Array, Array, float]:
    """The exact posterior of a hidden Markov model's states.

    :param log_likelihood: log p(y_t | state k), shape (T, K).
    :param first: probability of each first state, shape (K,).
    :param moves: from the state of the row to that of the column, shape (K, K).
    :returns: each step's probabilities, (T, K); the posterior as a chain, its first law (K,) and
        its moves (T - 1, K, K); and the log likelihood of the series.
    """
    steps, size = log_likelihood.shape
    peak = log_likelihood.max(-1, keepdims=True)
    seen = np.exp(log_likelihood - peak)
    # What follows, given the state, up to a factor that keeps it from vanishing.
    ahead, log_z = np.ones((steps, size)), 0.0
    for t in range(steps - 2, -1, -1):
        ahead[t] = moves @ (seen[t + 1] * ahead[t + 1])
        total = ahead[t].sum()
        ahead[t] /= total
        log_z += float(np.log(total))
    start = first * seen[0] * ahead[0]
    log_z += float(np.log(start.sum())) + float(peak.sum())
    start = start / start.sum()
    weights = moves * (seen * ahead)[1:, None, :]
    weights = weights / weights.sum(-1, keepdims=True)
    return marginals(start, weights), start, weights, log_z


def marginals(first: Array, moves: Array) -> Array:
    """The probability of each state of a chain at each step, shape (T, K)."""
    rows = [first]
    for move in moves:
        rows.append(rows[-1] @ move)
    return np.stack(rows)


def divergence(first: Array, moves: Array, other_first: Array, other_moves: Array) -> float:
    """KL of one chain to another of the same length, in nats."""
    tiny = np.finfo(float).tiny
    now = marginals(first, moves)
    total = first @ (np.log(first + tiny) - np.log(other_first + tiny))
    gaps = moves * (np.log(moves + tiny) - np.log(other_moves + tiny))
    return float(total + (now[:-1] * gaps.sum(-1)).sum())


def chain_of(logits: Array, moves: Array) -> tuple[Array, Array]:
    """The chain that AutoDiscrete has for T states: its first law, and its moves.

    :param logits: its parameter ``{site}_auto_logits``, shape (T, K).
    :param moves: its parameter ``{site}_auto_moves``, (T - 1, K, K) and dimensions of size one.
    """
    steps, size = logits.shape
    rows = logits[1:, None, :] + moves.reshape((steps - 1, size, size))
    return _softmax(logits[0].astype(float)), _softmax(rows.astype(float))


def _softmax(x: Array) -> Array:
    weights = np.exp(x - x.max(-1, keepdims=True))
    return weights / weights.sum(-1, keepdims=True)
