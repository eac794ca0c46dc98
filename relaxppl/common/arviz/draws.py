"""Draws made batch by batch into arrays that are allocated once."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

Groups = dict[str, dict[str, np.ndarray]]
"""Arrays by group and variable; the first two dimensions are chain and draw."""

Batch = Mapping[str, Mapping[str, np.ndarray]]
"""The same with one dimension of draws in front."""

BATCH_BYTES = 32 * 2**20
"""What the arrays of one batch may take, together, unless the caller says otherwise."""


def batch_size(num_draws: int, bytes_per_draw: int, asked: int | None) -> int:
    """Returns how many draws to make at a time.

    :param num_draws: how many are wanted in all.
    :param bytes_per_draw: what one takes.
    :param asked: the caller's choice, or None.
    """
    if asked is not None:
        return min(asked, num_draws)
    return max(1, min(num_draws, BATCH_BYTES // max(1, bytes_per_draw)))


def collect(num_draws: int, size: int, draw: Callable[[int], Batch]) -> Groups:
    """Fills one array for each variable, a batch at a time.

    :param num_draws: how many draws in all.
    :param size: how many at a time.
    :param draw: makes the batch that begins at a position; may make more draws than are needed.
    :returns: arrays of shape (1, num_draws, ...).
    """
    filled: Groups = {}
    for start in range(0, num_draws, size):
        count = min(size, num_draws - start)
        for group, variables in draw(start).items():
            arrays = filled.setdefault(group, {})
            for name, value in variables.items():
                if start == 0:
                    arrays[name] = np.empty((1, num_draws, *value.shape[1:]), value.dtype)
                arrays[name][0, start : start + count] = value[:count]
    return filled
