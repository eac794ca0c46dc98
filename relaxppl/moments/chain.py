"""Recursions over a Markov chain of K states in T steps, each O(T K^2).

``log_first`` is (..., K), ``log_moves`` (..., T - 1, K, K), from the rows' state to the columns';
both are normalised, and both have the whole batch.
"""

from __future__ import annotations

from relaxppl import ops
from relaxppl.ops import Array


def _steps(log_moves: Array) -> Array:
    return ops.moveaxis(log_moves, -3, 0)


def _rows(first: Array, others: Array) -> Array:
    """Returns the first row (..., K) and the others (T - 1, ..., K) as (..., T, K)."""
    return ops.moveaxis(ops.concatenate([first[None], others], axis=0), 0, -2)


def marginals(log_first: Array, log_moves: Array) -> Array:
    """Returns the probability of each state at each step, (..., T, K)."""

    def step(now: Array, log_move: Array) -> tuple[Array, Array]:
        after = ops.sum(now[..., :, None] * ops.exp(log_move), axis=-2)
        return after, after

    first = ops.exp(log_first)
    return _rows(first, ops.scan(step, first, _steps(log_moves))[1])


def path(log_first: Array, log_moves: Array, noise: Array) -> Array:
    """Returns the path that Gumbel noise makes, one-hot rows (..., T, K) as the noise."""
    size = ops.size(noise)

    def drawn(scores: Array) -> Array:
        return ops.one_hot(ops.argmax(scores, axis=-1), size, scores)

    def step(now: Array, given: tuple[Array, Array]) -> tuple[Array, Array]:
        log_move, added = given
        after = drawn(ops.sum(now[..., :, None] * log_move, axis=-2) + added)
        return after, after

    first = drawn(log_first + noise[..., 0, :])
    given = (_steps(log_moves), ops.moveaxis(noise[..., 1:, :], -2, 0))
    return _rows(first, ops.scan(step, first, given)[1])


def relaxed_path(log_first: Array, log_moves: Array, temperature: Array, noise: Array) -> Array:
    """Returns the latents over the temperature that Gumbel noise makes, (..., T, K).

    Each row's softmax is the state, which weighs the rows of the next matrix.
    """
    scale = temperature[..., None]

    def step(now: Array, given: tuple[Array, Array]) -> tuple[Array, Array]:
        log_move, added = given
        log_state = ops.log_softmax(now, axis=-1)
        latent = ops.logsumexp(log_state[..., :, None] + log_move, axis=-2) + added
        return latent / scale, latent / scale

    first = (log_first + noise[..., 0, :]) / scale
    given = (_steps(log_moves), ops.moveaxis(noise[..., 1:, :], -2, 0))
    return _rows(first, ops.scan(step, first, given)[1])


def messages(log_moves: Array, log_likelihood: Array) -> Array:
    """Returns log p(what follows | state) at each step, (..., T, K): the backward pass.

    :param log_likelihood: of the evidence at each step given its state, (..., T, K).
    """

    def step(later: Array, given: tuple[Array, Array]) -> tuple[Array, Array]:
        log_move, evidence = given
        before = ops.logsumexp(log_move + (evidence + later)[..., None, :], axis=-1)
        return before, before

    last = ops.zeros_like(log_likelihood[..., 0, :])
    given = (
        ops.flip(_steps(log_moves), axis=0),
        ops.flip(ops.moveaxis(log_likelihood[..., 1:, :], -2, 0), axis=0),
    )
    found = ops.scan(step, last, given)[1]
    return ops.flip(_rows(last, found), axis=-2)


def most_probable(log_first: Array, log_moves: Array) -> Array:
    """Returns the most probable path, one-hot rows (..., T, K): Viterbi's recursion."""
    size = ops.size(log_first)

    def one_hot(index: Array) -> Array:
        return ops.one_hot(index, size, log_first)

    def back(later: Array, log_move: Array) -> tuple[Array, Array]:
        best = ops.max(log_move + later[..., None, :], axis=-1)
        return best, later

    # The best continuation from each state, last step first; then the path forward along it.
    last = ops.zeros_like(log_first)
    steps = _steps(log_moves)
    rest, later = ops.scan(back, last, ops.flip(steps, axis=0))

    def forward(now: Array, given: tuple[Array, Array]) -> tuple[Array, Array]:
        log_move, later = given
        scores = ops.sum(now[..., :, None] * log_move, axis=-2) + later
        after = one_hot(ops.argmax(scores, axis=-1))
        return after, after

    first = one_hot(ops.argmax(log_first + rest, axis=-1))
    return _rows(first, ops.scan(forward, first, (steps, ops.flip(later, axis=0)))[1])
