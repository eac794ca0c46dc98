"""Several categorical variables with any joint law, drawn as one: a tree of conditional laws.

The logits of x_d are those of the row of a tree that the values of x_1, ..., x_{d-1} name. Every
joint law of D variables with K values each has this form. With T = 1 + K + ... + K^(D - 1) the tree
is (..., T, K): the prefixes by length, those of one length in the order of counting.
"""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np

from relaxppl import ops
from relaxppl.ops import Array


def joint_logits(tree: Array) -> Array:
    """Returns the log probability of each joint value, (..., K^D), in the order of counting.

    :param tree: (..., T, K).
    """
    rows, size = int(tree.shape[-2]), int(tree.shape[-1])
    found: Any = None
    start, count = 0, 1
    while start < rows:
        own = ops.log_softmax(tree[..., start : start + count, :], axis=-1)
        if found is not None:
            own = own + found[..., None]
        found = own.reshape((*own.shape[:-2], count * size))
        start, count = start + count, count * size
    return found


def rows_of(joint: Array, depth: int, size: int, like: Array) -> Array:
    """Returns the one-hot rows that the number of a joint value stands for, (..., D, K).

    :param joint: integers from 0 to K^D - 1.
    :param depth: D.
    :param size: K.
    :param like: an array of the dtype wanted.
    """
    digits = np.eye(size)[list(product(range(size), repeat=depth))]
    table = ops.like(like, digits.reshape((len(digits), depth * size)))
    rows = ops.matvec(ops.transpose(table), ops.one_hot(joint, len(digits), like))
    return rows.reshape((*joint.shape, depth, size))


def prefixes(depth: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns the prefixes of D variables with K values each, in the order of a tree's rows.

    :param depth: D.
    :param size: K.
    :returns: their values, one-hot, zero from their length on, (T, D, K); their lengths, (T,).
    """
    values, lengths = [], []
    for d in range(depth):
        for prefix in product(range(size), repeat=d):
            row = np.zeros((depth, size))
            row[np.arange(d), list(prefix)] = 1.0
            values.append(row)
            lengths.append(d)
    return np.array(values), np.array(lengths)
