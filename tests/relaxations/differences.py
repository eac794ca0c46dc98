"""Central differences along directions that keep a parameter within what is allowed."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from tests.relaxations.case import Case, Params


def directions(case: Case, name: str) -> Iterator[np.ndarray]:
    """A basis of the directions in which a parameter may move, each of the parameter's shape.

    Probabilities move within the simplex, and a matrix stays symmetric or triangular, so that no
    convention about what lies outside enters the comparison.
    """
    value = case.arrays[name]
    rank = case.ranks.get(name, 0)
    event = value.shape[value.ndim - rank :]
    for batch in np.ndindex(value.shape[: value.ndim - rank]):
        for move in _event_directions(name, rank, event):
            direction = np.zeros(value.shape)
            direction[batch] = move
            yield direction


def _event_directions(name: str, rank: int, event: tuple[int, ...]) -> Iterator[np.ndarray]:
    for index in np.ndindex(event):
        move = np.zeros(event)
        move[index] = 1.0
        if name == "probs" and rank == 1:
            if index[0] == event[0] - 1:
                continue
            move[-1] = -1.0
        elif name in ("correlation_matrix", "covariance_matrix"):
            i, j = index
            if j > i or (name == "correlation_matrix" and i == j):
                continue
            move[j, i] = 1.0
        elif name == "scale_tril" and index[1] > index[0]:
            continue
        yield move


def central(fn: Callable[[Params], float], params: Params, name: str, move: np.ndarray) -> float:
    """The derivative of a function of all parameters along a move of one; of fourth order."""
    step = 1e-3

    def at(multiple: float) -> float:
        return fn({**params, name: np.asarray(params[name]) + multiple * step * move})

    return (8 * (at(1) - at(-1)) - (at(2) - at(-2))) / (12 * step)


def compare(
    case: Case,
    fn: Callable[[Params], float],
    grads: dict[str, np.ndarray],
    without: tuple[str, ...] = (),
) -> int:
    """Asserts that gradients are the differences of a function; returns how many were compared."""
    rtol, compared = 1e-5, 0
    scale = max(np.abs(g).max() for g in grads.values())
    for name in set(case.arrays) - set(without):
        for move in directions(case, name):
            numeric = central(fn, case.params, name, move)
            exact = float((grads[name] * move).sum())
            assert abs(exact - numeric) <= rtol * abs(numeric) + 1e-7 * max(scale, 1), (
                f"{name}: gradient {exact}, differences {numeric}"
            )
            compared += 1
    return compared
