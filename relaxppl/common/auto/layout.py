"""A site's variables as those that a guide draws apart, and those that it draws together."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from relaxppl import ops
from relaxppl.ops import Array


@dataclass(frozen=True)
class Layout:
    """How the variables of a site, (*batch, *event), become (*kept, D).

    ``kept`` is the batch with its dimensions that are drawn together of size one; D is the number
    of variables that are drawn together, row by row.

    :param batch: of the site, over the plates' full sizes.
    :param event: the shape of the variables of one draw.
    :param apart: the dimensions of the batch that stay, counted from its right, negative.
    """

    batch: tuple[int, ...]
    event: tuple[int, ...]
    apart: frozenset[int]

    @property
    def together(self) -> list[int]:
        """The dimensions of the batch that are drawn together."""
        return [d for d in range(-len(self.batch), 0) if d not in self.apart]

    @property
    def kept(self) -> tuple[int, ...]:
        """The batch, of size one where it is drawn together."""
        rank = len(self.batch)
        return tuple(n if d - rank in self.apart else 1 for d, n in enumerate(self.batch))

    @property
    def size(self) -> int:
        """How many variables are drawn together."""
        return math.prod([*(self.batch[d] for d in self.together), *self.event])

    @property
    def alone(self) -> bool:
        """Whether each variable is drawn by itself, an event of no dimension."""
        return not self.together and not self.event

    def gather(self, x: Array, tail: int) -> Array:
        """Returns an array of the site's shape as (..., *kept, D, *tail).

        :param x: (..., *batch, *event, *tail); a subsample's rows do where all are meant.
        :param tail: how many dimensions follow the variables.
        """
        rank, fixed = len(self.batch), len(self.event) + tail
        for i, d in enumerate(self.together):
            # Each goes behind all others of the batch, so that those to its right move one up.
            x = ops.moveaxis(x, d - fixed - i, -fixed - 1)
        inner = fixed + len(self.together)
        shape = tuple(x.shape)
        left = rank - len(self.together)
        first = len(shape) - inner - left
        apart = iter(shape[first : first + left])
        kept = [next(apart) if d in self.apart else 1 for d in range(-rank, 0)]
        end = shape[len(shape) - tail :] if tail else ()
        return x.reshape((*shape[:first], *kept, self.size, *end))

    def scatter(self, x: Array, tail: int) -> Array:
        """Returns the array that :meth:`gather` makes x of.

        :param x: (..., *kept, D, *tail).
        :param tail: how many dimensions follow D.
        """
        shape, rank = tuple(x.shape), len(self.batch)
        first = len(shape) - tail - 1 - rank
        end = shape[len(shape) - tail :] if tail else ()
        apart = [shape[first + rank + d] for d in range(-rank, 0) if d in self.apart]
        sizes = [self.batch[d] for d in self.together]
        x = x.reshape((*shape[:first], *apart, *sizes, *self.event, *end))
        fixed = len(self.event) + tail
        for i, d in reversed(list(enumerate(self.together))):
            x = ops.moveaxis(x, -fixed - 1, d - fixed - i)
        return x


def layout_of(
    batch: tuple[int, ...],
    event: tuple[int, ...],
    frames: Iterable[tuple[str, int]],
    local: frozenset[str],
) -> Layout:
    """Returns the layout of a site some of whose plates are local.

    :param frames: the names and dimensions of its plates.
    :param local: the names of those that stay apart.
    """
    return Layout(batch, event, frozenset(dim for name, dim in frames if name in local))
