"""A function of a program at many values of its sites, in one batch where the program allows it."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import pyro
import torch

TOGETHER = 64
"""How many values are computed at once by default; more are taken in turns, for memory's sake."""

Values = dict[str, torch.Tensor]


def each(
    compute: Callable[[Values], torch.Tensor], values: Values, together: int = TOGETHER
) -> torch.Tensor:
    """Returns what a function makes of each of several values.

    :param compute: from values by site to a tensor.
    :param values: the same with one more axis on the left.
    :param together: how many are computed at once.
    :returns: what it makes of each, along a first axis.
    """
    count = len(next(iter(values.values())))
    with torch.no_grad():
        if count > 2 and together > 1:
            try:
                # Validation looks at values, which a batch hides.
                with pyro.validation_enabled(False), warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    batched = torch.func.vmap(compute, randomness="same", chunk_size=together)
                    return batched(values)
            except Exception:
                # A program that branches on a value, or leaves torch, takes one at a time.
                pass
        rows = ({name: x[i] for name, x in values.items()} for i in range(count))
        return torch.stack([compute(row) for row in rows])
