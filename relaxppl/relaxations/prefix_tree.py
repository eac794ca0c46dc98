"""Several categorical variables with any joint law: a tree of conditional ones."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np

from relaxppl import ops
from relaxppl.ops import Array
from relaxppl.relaxations.base import Parameter, Relaxation


class PrefixTree(Relaxation):
    """One-hot rows x_1, ..., x_D, each drawn by logits of its own for every value of those before.

    log p(x) = sum_d log softmax(tree[x_1, ..., x_{d-1}])[x_d]: every joint law of D variables with
    K values each has this form. Its samples carry no gradient.

    :param tree: (*batch, T, K) with T = 1 + K + ... + K^(D - 1), the prefixes by length, those of
        one length in the order of counting.
    """

    parameters = (Parameter("tree", "real_matrix", 2),)
    support = "discrete_one_hot_rows"
    event_rank = 2
    noise = "gumbel"
    discrete = True
    reparameterized = False
    enumerable = True

    @property
    def size(self) -> int:
        """The number K of values of a variable."""
        return ops.size(self.tree)

    @property
    def event_shape(self) -> tuple[int, ...]:
        prefixes, depth = int(self.tree.shape[-2]), 0
        while prefixes > 0:
            prefixes -= self.size**depth
            depth += 1
        return (depth, self.size)

    @property
    def _levels(self) -> list[Array]:
        """The logits of each variable, (*batch, K^d, K)."""
        found, start = [], 0
        for d in range(self.event_shape[0]):
            stop = start + self.size**d
            found.append(self.tree[..., start:stop, :])
            start = stop
        return found

    def sample(self, noise: Array) -> Array:
        rows, at = [], ops.full_like(noise[..., 0, :1], 1.0)
        for d, logits in enumerate(self._levels):
            here = ops.sum(at[..., None] * ops.stop_gradient(logits), axis=-2)
            best = ops.argmax(here + noise[..., d, :], axis=-1)
            rows.append(ops.one_hot(best, self.size, noise))
            at = _longer(at, rows[-1])
        return ops.stack(rows, -2)

    def log_prob(self, value: Array) -> Array:
        total: Any = 0.0
        at = ops.full_like(value[..., 0, :1], 1.0)
        for d, logits in enumerate(self._levels):
            here = ops.sum(at[..., None] * ops.log_softmax(logits, axis=-1), axis=-2)
            total = total + ops.sum(value[..., d, :] * here, axis=-1)
            at = _longer(at, value[..., d, :])
        return total

    def _joint(self) -> list[Array]:
        """The probabilities of the prefixes of each length from one, (*batch, K^d)."""
        found: list[Array] = []
        for d, logits in enumerate(self._levels):
            p = ops.softmax(logits, axis=-1)
            if d:
                p = p * found[-1][..., None]
            found.append(p.reshape((*p.shape[:-2], self.size ** (d + 1))))
        return found

    def mean(self) -> Array:
        rows = [ops.sum(p.reshape((*p.shape[:-1], -1, self.size)), axis=-2) for p in self._joint()]
        return ops.stack(rows, -2)

    def variance(self) -> Array:
        mean = self.mean()
        return mean * (1.0 - mean)

    def entropy(self) -> Array:
        total: Any = 0.0
        for p, logits in zip(self._joint(), self._levels, strict=True):
            log_p = ops.log_softmax(logits, axis=-1)
            total = total - ops.sum(p * log_p.reshape(tuple(p.shape)), axis=-1)
        return total

    def enumerate_support(self) -> Array:
        depth, size = self.event_shape
        return ops.like(self.tree, np.eye(size)[list(product(range(size), repeat=depth))])


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


def _longer(at: Array, row: Array) -> Array:
    """Returns the indicator of a prefix with one more value, (..., K^(d + 1))."""
    both = at[..., :, None] * row[..., None, :]
    return both.reshape((*both.shape[:-2], -1))
