"""Local expectations of a variable that is drawn in steps: its cost expanded at a second draw.

At a draw z* that is independent of the value z the cost f is expanded by what single changes do to
it: for a path in functions of each state and of each two neighbours, for a subset in a weight for
each item. The mean of the expansion e is exact from the law's marginals, and what it leaves is
taken by the score function: h = d E[e] + (f(z) - e(z)) d log q(z). That has no bias for any cost,
as z* does not depend on z, and no variance where the cost is such a sum.
"""

from __future__ import annotations

import numpy as np

from relaxppl import ops
from relaxppl.estimators.alone import changes
from relaxppl.estimators.base import OTHER, Step
from relaxppl.estimators.sequences import Paths, Sequence, Subsets, weighted
from relaxppl.moments import chain
from relaxppl.ops import Array


def expanded(step: Step, name: str, limit: int) -> Array:
    """Returns h of a site of subsets or of paths, of the shape of its parameters.

    :param limit: how many evaluations of the program are reasonable.
    """
    site = step.site(name)
    assert site.sequence is not None
    law = site.sequence.at(ops.stop_gradient(site.sequence.parameters))
    value = ops.cast(ops.stop_gradient(site.value), law.parameters)
    if isinstance(law, Subsets) and law.k == value.shape[-1]:
        return ops.zeros_like(law.parameters)  # One subset: nothing to choose.
    noise = step.program.noise(law.noise, tuple(value.shape), site, OTHER)
    start = ops.stop_gradient(_drawn(law, noise))
    others = _moves(start) if isinstance(law, Paths) else ops.stack(_swaps(start), axis=0)
    changed = changes(step, name, ops.concatenate([start[None], others], axis=0), limit)
    # One number for each of the variables: what the value drawn costs more than these.
    changed = changed.reshape(tuple(changed.shape)[: len(changed.shape) - law.rank])
    if isinstance(law, Paths):
        gradient, left = _of_path(law, value, start, changed)
    else:
        assert isinstance(law, Subsets)
        gradient, left = _of_subset(law, value, start, changed)
    score = law.score(value)
    return gradient + left.reshape(tuple(left.shape) + (1,) * law.rank) * score


def _drawn(law: Sequence, noise: Array) -> Array:
    if isinstance(law, Paths):
        first, moves = law.rows
        return chain.path(first, moves, noise)
    return law.drawn(noise)


def _turned(row: Array, by: int) -> Array:
    """Returns one-hot rows of the class so many further on."""
    return ops.concatenate([row[..., -by:], row[..., :-by]], axis=-1)


def _moves(start: Array) -> Array:
    """Returns the paths with one state changed, then those with two neighbours changed.

    A fixed number of operations makes them all, however long the path is.
    """
    steps, size = (int(n) for n in start.shape[-2:])
    turned = [_turned(start, a) for a in range(1, size)]
    middle = (1,) * (len(start.shape) - 2)
    at = ops.like(start, np.eye(steps).reshape((steps, *middle, steps, 1)))
    found = [start[None][:0]]  # All there is where there is one state.
    found.extend(start + at * (new - start) for new in turned)
    for one in turned:
        first = start + at[:-1] * (one - start)
        found.extend(first + at[1:] * (other - start) for other in turned)
    return ops.concatenate(found, axis=0)


def _of_path(law: Paths, value: Array, start: Array, cost: Array) -> tuple[Array, Array]:
    """Returns the gradient of the expansion's mean, and what it leaves of the cost at the value.

    :param cost: of the start and of its changed paths, (C, *batch), that of the value being zero.
    """
    steps, size = (int(n) for n in start.shape[-2:])
    turned = [_turned(start, a) for a in range(1, size)]
    gains = ops.moveaxis(cost[1:] - cost[0], 0, -1)
    single = [gains[..., a * steps : (a + 1) * steps] for a in range(size - 1)]
    alone = ops.zeros_like(start)
    for gain, new in zip(single, turned, strict=True):
        alone = alone + gain[..., None] * new
    together = ops.zeros_like(start)[..., :-1, :, None] * start[..., 1:, None, :]
    at = (size - 1) * steps
    for a, one in enumerate(turned):
        for b, other in enumerate(turned):
            both = gains[..., at : at + steps - 1]
            extra = both - single[a][..., :-1] - single[b][..., 1:]
            pair = one[..., :-1, :, None] * other[..., 1:, None, :]
            together = together + extra[..., None, None] * pair
            at += steps - 1

    def of(marginals: Array, pairs: Array) -> Array:
        states = ops.sum(marginals * alone, axis=(-2, -1))
        return states + ops.sum(pairs * together, axis=(-3, -2, -1))

    def mean(parameters: Array) -> Array:
        first, moves = law.at(parameters).rows  # type: ignore[attr-defined]
        log_first, log_moves = ops.log_softmax(first, axis=-1), ops.log_softmax(moves, axis=-1)
        now = chain.marginals(log_first, log_moves)
        return of(now, now[..., :-1, :, None] * ops.exp(log_moves))

    drawn = value[..., :-1, :, None] * value[..., 1:, None, :]
    return weighted(mean, law.parameters), -(cost[0] + of(value, drawn))


def _swaps(start: Array) -> list[Array]:
    """Returns for each item the subset in which it takes or leaves the place of a fixed one."""
    member, other = _fixed(start)
    found = []
    for i in range(start.shape[-1]):
        item = ops.one_hot(ops.integers(0.0 * start[..., 0] + i), start.shape[-1], start)
        inside = start[..., i : i + 1]
        found.append(start + inside * (other - item) + (1.0 - inside) * (item - member))
    return found


def _fixed(start: Array) -> tuple[Array, Array]:
    """Returns the first item that is in and the first that is not, one-hot."""
    size = start.shape[-1]
    return (
        ops.one_hot(ops.argmax(start, axis=-1), size, start),
        ops.one_hot(ops.argmax(1.0 - start, axis=-1), size, start),
    )


def _of_subset(law: Subsets, value: Array, start: Array, cost: Array) -> tuple[Array, Array]:
    """Returns the same as :func:`_of_path`, for a weight of each item."""
    gain = ops.moveaxis(cost[1:] - cost[0], 0, -1)
    # The weights are known up to a constant: the fixed member's is zero.
    of_other = ops.sum(gain * _fixed(start)[1], axis=-1, keepdims=True)
    weights = start * (of_other - gain) + (1.0 - start) * gain

    def mean(parameters: Array) -> Array:
        return ops.sum(law.at(parameters).mean() * weights, axis=-1)

    left = -(cost[0] + ops.sum(weights * (value - start), axis=-1))
    return weighted(mean, law.parameters), left
