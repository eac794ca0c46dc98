"""Independent bits given that k of n are one: sums over all subsets of k items, in O(n k).

E_j(i) is the sum over the subsets of j of the first i items of the product of their weights, the
exponentials of the logits; all in logarithms. Chen, Dempster and Liu, 1994, Weighted finite
population sampling to maximize entropy, Biometrika 81.
"""

from __future__ import annotations

import math

import numpy as np

from relaxppl import ops
from relaxppl.ops import Array
from relaxppl.ops.constants import NEVER

_FEW = 128
"""Up to so many items are taken one by one."""


def log_sums(logits: Array, k: int) -> Array:
    """Returns log E_j(i) for j = 0, ..., k in front of each item and behind the last.

    Many items are cut into blocks of about sqrt(n): the sums inside each block, all blocks at a
    time; with them the sums in front of each, block by block; from these on, all blocks at a time
    again. That takes 3 sqrt(n) steps in place of n.

    :param logits: (..., n).
    :returns: (n + 1, ..., k + 1), -1e30 where i < j.
    """
    each = ops.moveaxis(logits, -1, 0)[..., None]
    count, start = each.shape[0], _nothing(logits, k)
    if count <= _FEW:
        return ops.concatenate([start[None], _after_each(start, each)], axis=0)
    size = math.isqrt(count - 1) + 1
    blocks = -(-count // size)
    # Items that are never taken fill the last block.
    filling = [ops.full_like(each[:1], NEVER)] * (blocks * size - count)
    each = ops.concatenate([each, *filling], axis=0)
    each = ops.moveaxis(each.reshape((blocks, size, *each.shape[1:])), 1, 0)
    degree = min(k, size)
    whole = _after_each(_nothing(each[0, ..., 0][..., None], degree), each)[-1]
    index = degree + np.arange(k + 1)[:, None] - np.arange(degree + 1)
    never = ops.full_like(start[..., :1], NEVER)

    def step(before: Array, block: Array) -> tuple[Array, Array]:
        of_rest = ops.concatenate([*[never] * degree, before], axis=-1)[..., index]
        return ops.logsumexp(of_rest + block[..., None, :], axis=-1), before

    fronts = ops.scan(step, start, whole)[1]
    found = ops.moveaxis(_after_each(fronts, each), 0, 1)
    found = found.reshape((blocks * size, *found.shape[2:]))[:count]
    return ops.concatenate([start[None], found], axis=0)


def _nothing(logits: Array, k: int) -> Array:
    """Returns the sums in front of all items, (..., k + 1)."""
    none = ops.zeros_like(logits[..., :1])
    return ops.concatenate([none, *[ops.full_like(none, NEVER)] * k], axis=-1)


def _after_each(start: Array, each: Array) -> Array:
    """Returns the sums behind each item, from those in front of the first.

    :param start: (..., k + 1).
    :param each: the items' logits, (n, ..., 1).
    :returns: (n, ..., k + 1).
    """
    never = ops.full_like(start[..., :1], NEVER)

    def step(before: Array, logit: Array) -> tuple[Array, Array]:
        with_one_more = ops.concatenate([never, before[..., :-1]], axis=-1)
        after = ops.logaddexp(before, with_one_more + logit)
        return after, after

    return ops.scan(step, start, each)[1]


def log_normalizer(logits: Array, k: int) -> Array:
    """Returns log E_k of all items, (...)."""
    return log_sums(logits, k)[-1][..., -1]


def chances(logits: Array, k: int) -> Array:
    """Returns the probability that an item is in, given that j of it and those before it are.

    :returns: for each item and j = 0, ..., k, (n, ..., k + 1); that where j is more than the items
        there means nothing.
    """
    return ops.sigmoid(log_odds(logits, k))


def log_odds(logits: Array, k: int) -> Array:
    """Returns the log odds of :func:`chances`."""
    before = log_sums(logits, k)[:-1]
    # Of both ways from the same sums, so that the two probabilities add up and rounding cancels.
    never = ops.full_like(before[..., :1], NEVER)
    with_one_more = ops.concatenate([never, before[..., :-1]], axis=-1)
    return with_one_more + ops.moveaxis(logits, -1, 0)[..., None] - before


def inclusion_probs(logits: Array, k: int, chance: Array | None = None) -> Array:
    """Returns the probability of each item to be among the k, (..., n): d log E_k / d logits.

    :param chance: as :func:`chances` returns, where that is known.
    """
    if ops.size(logits) > _FEW:
        return _of_both_ends(logits, k)
    chance = chances(logits, k) if chance is None else chance
    none = ops.zeros_like(chance[0][..., :1])
    start = ops.concatenate([*[none] * k, none + 1.0], axis=-1)

    def step(left: Array, chance: Array) -> tuple[Array, Array]:
        # ``left`` is the law of how many are still to come.
        taken = left * chance
        with_one_fewer = ops.concatenate([taken[..., 1:], none], axis=-1)
        return left - taken + with_one_fewer, ops.sum(taken, axis=-1)

    found = ops.scan(step, start, ops.flip(chance, axis=0))[1]
    return ops.moveaxis(ops.flip(found, axis=0), 0, -1)


def _of_both_ends(logits: Array, k: int) -> Array:
    """Returns the same from the sums over those before an item and those over all after it."""
    if k == 0:
        return ops.zeros_like(logits)
    both = ops.stack([logits, ops.flip(logits, axis=-1)])
    sums = ops.moveaxis(log_sums(both, k), 1, 0)
    before, after = sums[0][:-1], ops.flip(sums[1][:-1], axis=0)
    others = before + ops.flip(after, axis=-1)
    one_less = before[..., :-1] + ops.flip(after[..., :-1], axis=-1)
    # Of both ways from the same sums, so that the two probabilities add up and rounding cancels.
    odds = ops.logsumexp(one_less, axis=-1) - ops.logsumexp(others, axis=-1)
    return ops.sigmoid(ops.moveaxis(odds, 0, -1) + logits)


def drawn(chance: Array, noise: Array) -> Array:
    """Returns k-hot vectors that uniform noise makes, item by item, of the noise's shape.

    :param chance: as :func:`chances` returns.
    :param noise: uniform on (0, 1), (..., n).
    """

    def step(left: Array, given: tuple[Array, Array]) -> tuple[Array, Array]:
        # ``left`` is how many are still to come.
        chance, u = given
        taken = ops.cast(u < ops.take_along_axis(chance, left, axis=-1), left)
        return left - taken, taken

    rows = ops.flip(ops.moveaxis(noise, -1, 0), axis=0)[..., None]
    more = (1,) * (len(rows.shape) - len(chance.shape))
    chance = ops.flip(chance, axis=0).reshape((chance.shape[0], *more, *chance.shape[1:]))
    chance = ops.broadcast_to(chance, (*rows.shape[:-1], chance.shape[-1]))
    start = ops.integers(ops.full_like(rows[0], chance.shape[-1] - 1.0))
    found = ops.flip(ops.scan(step, start, (chance, rows))[1], axis=0)[..., 0]
    return ops.cast(ops.moveaxis(found, 0, -1), noise)
