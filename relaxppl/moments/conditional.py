"""Independent bits given that k of n are one: sums over all subsets of k items, in O(n k).

E_j(i) is the sum over the subsets of j of the first i items of the product of their weights, the
exponentials of the logits; all in logarithms. Chen, Dempster and Liu, 1994, Weighted finite
population sampling to maximize entropy, Biometrika 81.
"""

from __future__ import annotations

from relaxppl import ops
from relaxppl.ops import Array
from relaxppl.ops.constants import NEVER


def log_sums(logits: Array, k: int) -> Array:
    """Returns log E_j(i) for j = 0, ..., k in front of each item and behind the last.

    :param logits: (..., n).
    :returns: (n + 1, ..., k + 1), -1e30 where i < j.
    """
    none = ops.zeros_like(logits[..., :1])
    rest = [ops.full_like(none, NEVER)] * k
    start = ops.concatenate([none, *rest], axis=-1)

    def step(before: Array, logit: Array) -> tuple[Array, Array]:
        after = ops.logaddexp(before, _with_one_more(before) + logit[..., None])
        return after, after

    return ops.concatenate(
        [start[None], ops.scan(step, start, ops.moveaxis(logits, -1, 0))[1]], axis=0
    )


def _with_one_more(log_sum: Array) -> Array:
    """Returns what stands for j at j + 1."""
    first = ops.full_like(log_sum[..., :1], NEVER)
    return ops.concatenate([first, log_sum[..., :-1]], axis=-1)


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
    taken = _with_one_more(before) + ops.moveaxis(logits, -1, 0)[..., None]
    return taken - before


def inclusion_probs(chance: Array) -> Array:
    """Returns the probability of each item to be among the k, (..., n): d log E_k / d logits.

    :param chance: as :func:`chances` returns.
    """

    def step(left: Array, chance: Array) -> tuple[Array, Array]:
        # ``left`` is the law of how many are still to come.
        taken = left * chance
        return left - taken + _with_one_fewer(taken), ops.sum(taken, axis=-1)

    found = ops.scan(step, _all_of(chance[0]), ops.flip(chance, axis=0))[1]
    return ops.moveaxis(ops.flip(found, axis=0), 0, -1)


def drawn(chance: Array, noise: Array) -> Array:
    """Returns k-hot vectors that uniform noise makes, item by item, of the noise's shape.

    :param chance: as :func:`chances` returns.
    :param noise: uniform on (0, 1), (..., n).
    """

    def step(left: Array, given: tuple[Array, Array]) -> tuple[Array, Array]:
        chance, u = given
        # ``left`` is one-hot: how many are still to come.
        take = u < ops.sum(left * chance, axis=-1)
        return ops.where(take[..., None], _with_one_fewer(left), left), ops.cast(take, u)

    shape = (*noise.shape[:-1], chance.shape[-1])
    start = ops.broadcast_to(_all_of(chance[0]), shape)
    given = ops.flip(chance, axis=0), ops.flip(ops.moveaxis(noise, -1, 0), axis=0)
    return ops.moveaxis(ops.flip(ops.scan(step, start, given)[1], axis=0), 0, -1)


def _all_of(chance: Array) -> Array:
    """Returns the one-hot vector of j = k, of the shape of the chances of one item."""
    none = ops.zeros_like(chance[..., :-1])
    return ops.concatenate([none, ops.full_like(chance[..., :1], 1.0)], axis=-1)


def _with_one_fewer(weights: Array) -> Array:
    """Returns what stands for j at j - 1."""
    return ops.concatenate([weights[..., 1:], ops.zeros_like(weights[..., :1])], axis=-1)
