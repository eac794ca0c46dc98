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


def sums_behind(logits: Array, k: int) -> Array:
    """Returns the same of the items from each one to the last, (n + 1, ..., k + 1)."""
    return ops.flip(log_sums(ops.flip(logits, axis=-1), k), axis=0)


def log_normalizer(logits: Array, k: int) -> Array:
    """Returns log E_k of all items, (...)."""
    return log_sums(logits, k)[-1][..., -1]


def inclusion_probs(logits: Array, k: int) -> Array:
    """Returns the probability of each item to be among the k, (..., n): d log E_k / d logits."""
    if k == 0:
        return ops.zeros_like(logits)
    before, behind = log_sums(logits, k)[:-1], ops.flip(sums_behind(logits, k)[1:], axis=-1)
    # j items in front of this one, and k - 1 - j or k - j behind it. Both sums have the rounding
    # of the same recursions in them: against E_k of all items it would not cancel.
    chosen = ops.moveaxis(ops.logsumexp(before[..., :-1] + behind[..., 1:], axis=-1), 0, -1)
    left_out = ops.moveaxis(ops.logsumexp(before + behind, axis=-1), 0, -1)
    return ops.sigmoid(logits + chosen - left_out)


def drawn(logits: Array, k: int, noise: Array) -> Array:
    """Returns k-hot vectors that uniform noise makes, item by item, of the noise's shape.

    :param noise: uniform on (0, 1), (..., n).
    """
    behind = sums_behind(logits, k)
    last = ops.concatenate([ops.zeros_like(noise[..., :1])] * k, axis=-1)
    start = ops.concatenate([last, ops.full_like(noise[..., :1], 1.0)], axis=-1)

    def step(left: Array, given: tuple[Array, ...]) -> tuple[Array, Array]:
        logit, here, after, log_u = given
        # ``left`` is one-hot: how many items are still to come.
        taken = logit + ops.sum(left[..., 1:] * after[..., :-1], axis=-1)
        log_p = taken - ops.sum(left * here, axis=-1)
        all_of_them = ops.sum(left * after, axis=-1) < 0.1 * NEVER
        take = ((log_u < log_p) | all_of_them) & (left[..., 0] < 0.5)
        fewer = ops.concatenate([left[..., 1:], ops.zeros_like(left[..., :1])], axis=-1)
        return ops.where(take[..., None], fewer, left), ops.cast(take, noise)

    given = (
        ops.moveaxis(logits, -1, 0),
        behind[:-1],
        behind[1:],
        ops.moveaxis(ops.log(noise), -1, 0),
    )
    return ops.moveaxis(ops.scan(step, start, given)[1], 0, -1)
