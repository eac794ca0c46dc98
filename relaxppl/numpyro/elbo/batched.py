"""A function of a program at many values of its sites, in one batch."""

from __future__ import annotations

from collections.abc import Callable

import jax

TOGETHER = 64
"""How many values are computed at once; more are taken in turns of so many, for memory's sake."""

Values = dict[str, jax.Array]


def each(compute: Callable[[Values], jax.Array], values: Values) -> jax.Array:
    """Returns what a function makes of each of several values.

    :param compute: from values by site to an array.
    :param values: the same with one more axis on the left.
    :returns: what it makes of each, along a first axis.
    """
    count = next(iter(values.values())).shape[0]
    try:
        if count <= TOGETHER:
            return jax.vmap(compute)(values)
        return jax.lax.map(compute, values, batch_size=TOGETHER)
    except NotImplementedError:
        # A callback that was not made for batches is called for one value after the other.
        return jax.lax.map(compute, values)
