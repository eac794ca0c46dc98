"""A function of a program at many values of its sites, in one batch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax

TOGETHER = 64
"""How many values are computed at once by default; more are taken in turns, for memory's sake."""

Values = dict[str, jax.Array]


class InBatches:
    """A host's way to map over particles: so many at a time.

    :param together: how many.
    """

    def __init__(self, together: int) -> None:
        self.together = together

    def __call__(self, fn: Callable[[Any], Any], keys: jax.Array) -> Any:
        return jax.lax.map(fn, keys, batch_size=min(self.together, keys.shape[0]))


def each(
    compute: Callable[[Values], jax.Array], values: Values, together: int = TOGETHER
) -> jax.Array:
    """Returns what a function makes of each of several values.

    :param compute: from values by site to an array.
    :param values: the same with one more axis on the left.
    :param together: how many are computed at once.
    :returns: what it makes of each, along a first axis.
    """
    count = next(iter(values.values())).shape[0]
    try:
        if count <= together:
            return jax.vmap(compute)(values)
        return jax.lax.map(compute, values, batch_size=together)
    except NotImplementedError:
        # A callback that was not made for batches is called for one value after the other.
        return jax.lax.map(compute, values)
