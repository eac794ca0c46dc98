"""A category as the first success among K - 1 Bernoullis, which break a stick."""

from __future__ import annotations

from relaxppl import ops
from relaxppl.ops import Array


def stick_logits(logits: Array) -> Array:
    """Returns the log odds of stopping at class k among the classes k, ..., K, (..., K - 1)."""
    log_p = ops.log_softmax(logits, axis=-1)
    rest = ops.flip(ops.logcumsumexp(ops.flip(log_p, axis=-1), axis=-1), axis=-1)
    return log_p[..., :-1] - rest[..., 1:]


def first_success(bits: Array) -> Array:
    """Returns the encoded class at which the sticks break, (..., K), from 0/1, (..., K - 1)."""
    failed = ops.cumsum(bits, axis=-1)
    first = bits * ops.cast(failed < 1.5, bits)
    none = ops.cast(failed[..., -1:] < 0.5, bits)
    return ops.concatenate([first, none], axis=-1)
