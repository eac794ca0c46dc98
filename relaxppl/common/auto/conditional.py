"""The law that a dependent guide has for a site, given the sites before it.

The parameters of a law are those of the mean field, and interactions beside them, which are zero at
first: linear in the parents' values and in the site's own earlier variables; and a table with an
entry for every joint value of them, or, where that would have too many entries, hidden units. With
the table every joint law of a few variables is one of the guide's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from relaxppl import ops
from relaxppl.common.auto.layout import Layout
from relaxppl.common.auto.tree import prefixes
from relaxppl.ops import Array
from relaxppl.relaxations.autoregressive import tanh

LARGEST_TABLE = 4096
"""How many entries a table has at most, for one element of the plates."""
_MOST_ENTRIES = 1_000_000
_MOST_PARAMETERS = 10_000_000
_HIDDEN = 16

Read = Callable[[str, np.ndarray, int], Array]
"""From the name of a parameter, its first value and its event's rank to the parameter."""


@dataclass(frozen=True)
class Parent:
    """An earlier site as a later one sees it.

    :param name: the site.
    :param layout: of its variables, those in the later site's local plates apart.
    :param values: how many values each of its variables has; the columns of a continuous one.
    :param discrete: whether its values are discrete.
    """

    name: str
    layout: Layout
    values: int
    discrete: bool

    @property
    def columns(self) -> int:
        """How many columns it gives."""
        return self.layout.size * self.values

    @property
    def cells(self) -> float:
        """How many joint values its variables have."""
        return float(self.values) ** self.layout.size if self.discrete else 1.0

    def seen(self, known: Array, rank: int) -> Array:
        """Returns its variables as the later site's rows see them, (..., *kept, size, values).

        :param known: its values, encoded, (..., *batch, *event, values).
        :param rank: of the later site's batch.
        """
        x = self.layout.gather(known, 1)
        # A plate that the later site does not lie in has left a dimension behind.
        while len(x.shape) - 2 > rank and x.shape[0] == 1:
            x = x[0]
        return x


@dataclass(frozen=True)
class Conditional:
    """What the laws of discrete and of continuous sites share.

    :param name: the site.
    :param layout: of its variables.
    :param parents: the earlier sites.
    :param plates: the names of the plates whose elements stay apart.
    """

    name: str
    layout: Layout
    parents: Sequence[Parent]
    plates: frozenset[str]

    @property
    def columns(self) -> int:
        """How many numbers the parents' values are."""
        return sum(parent.columns for parent in self.parents)

    @property
    def cells(self) -> int:
        """How many joint values the parents have that an entry of the table each can stand for."""
        cells = math.prod(parent.cells for parent in self.parents)
        entries = cells * self._entries
        few = entries <= LARGEST_TABLE and entries * math.prod(self.layout.kept) <= _MOST_ENTRIES
        return int(cells) if few else 0

    @property
    def _entries(self) -> int:
        """How many entries the table has for each joint value of the parents."""
        return self.layout.size

    def linear_in(self, known: Mapping[str, Array]) -> Array | None:
        """Returns the parents' values in a row, centred, (..., *kept, columns)."""
        rows = []
        for parent in self.parents:
            x = parent.seen(known[parent.name], len(self.layout.batch))
            if parent.discrete:
                x = x - 1.0 / parent.values
            rows.append(x.reshape((*x.shape[:-2], parent.columns)))
        return _beside(rows) if rows else None

    @property
    def pace(self) -> float:
        """What linear interactions are multiplied by, for many of them not to move a law at once.

        An optimiser that moves each parameter as fast, as Adam does, would else move a logit as
        many times faster as there are columns, and settle it before anything else has been learned.
        """
        columns = self.columns + self._own_columns
        return min(1.0, 2.0 / columns) if columns else 1.0

    @property
    def _own_columns(self) -> int:
        """How many numbers the site's own earlier variables are."""
        return 0

    def cell(self, known: Mapping[str, Array]) -> Array | None:
        """Returns the indicator of the parents' joint value, (..., *kept, cells)."""
        at: Array | None = None
        for parent in self.parents:
            if parent.discrete:
                x = parent.seen(known[parent.name], len(self.layout.batch))
                for i in range(parent.layout.size):
                    row = x[..., i, :]
                    if at is None:
                        at = row
                    else:
                        both = at[..., :, None] * row[..., None, :]
                        at = both.reshape((*both.shape[:-2], -1))
        return at


@dataclass(frozen=True)
class Discrete(Conditional):
    """The law of a discrete site.

    :param values: K, how many values each variable has.
    :param seed: of what of the interactions is not zero at first.
    :param apart: whether it is as the mean field has it.
    :param chain: whether each of its variables depends on the one before alone.
    :param named: whether the site itself has the law of the whole chain.
    """

    values: int = 2
    seed: int = 0
    apart: bool = False
    chain: bool = False
    named: bool = False

    @property
    def _entries(self) -> int:
        return _prefixes(self.layout.size, self.values) * self.values

    @property
    def _own_columns(self) -> int:
        return self.layout.size * self.values if self.layout.size > 1 and not self.chain else 0

    @cached_property
    def tabled(self) -> bool:
        """Whether the joint values of the parents and of the variables before have entries."""
        return self.cells > 0

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shapes of the interactions, without the batch, by name."""
        rows = self.layout.size * self.values
        if self.chain:
            seen = {"linear": (rows, self.columns)} if self.columns else {}
            return {**seen, "moves": (self.layout.size - 1, self.values, self.values)}
        own = self._own_columns
        if not self.columns + own:
            return {}
        found: dict[str, tuple[int, ...]] = {"linear": (rows, self.columns + own)}
        if self.tabled:
            prefixes = _prefixes(self.layout.size, self.values)
            found["table"] = (self.cells, prefixes, self.values)
        else:
            found["into"] = (_HIDDEN, self.columns + own)
            found["bias"] = (_HIDDEN,)
            found["out"] = (rows, _HIDDEN)
        return found

    def interactions(self, read: Read) -> dict[str, Array]:
        """Returns the parameters of the interactions, made at the first call.

        :raises ValueError: if they are too many.
        """
        number = sum(math.prod((*self.layout.kept, *shape)) for shape in self.shapes.values())
        if number > _MOST_PARAMETERS:
            raise too_many(self.name, self.layout.size, number)
        found = {}
        for kind, shape in self.shapes.items():
            first = np.zeros((*self.layout.kept, *shape))
            if kind in ("into", "bias"):
                rng = np.random.default_rng(self.seed)
                first = rng.normal(size=first.shape) / math.sqrt(shape[-1])
            found[kind] = read(kind, first, len(shape))
        return found

    def parameters(self, logits: Array, known: Mapping[str, Array], read: Read) -> dict[str, Array]:
        """Returns the parameters of the joint law: a tree's, a sequence's or a chain's.

        :param logits: of the variables by themselves, (..., *kept, D, K).
        :param known: the values of the parents, encoded.
        :param read: gives parameters.
        """
        given = self.interactions(read)
        depth, size = self.layout.size, self.values
        seen = self.linear_in(known)
        if seen is not None:
            moved = self.pace * ops.matvec(given["linear"][..., : self.columns], seen)
            logits = logits + moved.reshape((*moved.shape[:-1], depth, size))
        if self.chain:
            moves = logits[..., 1:, None, :] + given["moves"]
            return {"initial_logits": logits[..., 0, :], "transition_logits": moves}
        if not given:
            return {"tree": logits}
        own = self.pace * given["linear"][..., self.columns :]
        if self.tabled:
            return {"tree": self._tree(logits, own, given["table"], known)}
        bias = given["bias"]
        if seen is not None:
            bias = bias + ops.matvec(given["into"][..., : self.columns], seen)
        into = given["into"][..., self.columns :]
        return {"logits": logits, "linear": own, "into": into, "bias": bias, "out": given["out"]}

    def _tree(self, logits: Array, own: Array, table: Array, known: Mapping[str, Array]) -> Array:
        depth, size = self.layout.size, self.values
        cell = self.cell(known)
        if cell is None:
            entries = table[..., 0, :, :]
        else:
            entries = ops.sum(cell[..., :, None, None] * table, axis=-3)
        values, lengths = prefixes(depth, size)
        if depth == 1:
            return logits + entries
        here = ops.like(logits, np.eye(depth)[lengths])
        before = (np.arange(depth) < lengths[:, None])[..., None]
        centred = np.where(before, values - 1.0 / size, 0.0).reshape((len(values), depth * size))
        moved = ops.matmul(own, ops.transpose(ops.like(logits, centred)))
        moved = moved.reshape((*moved.shape[:-2], depth, size, len(values)))
        moved = ops.sum(moved * ops.transpose(here)[:, None, :], axis=-3)
        return ops.matmul(here, logits) + ops.transpose(moved) + entries

    def alone(self, parameters: Mapping[str, Array]) -> Array:
        """Returns the logits of a variable that is drawn by itself, (..., *kept, K)."""
        if "tree" in parameters:
            return parameters["tree"][..., 0, :]
        hidden = ops.matvec(parameters["out"], tanh(parameters["bias"]))
        return parameters["logits"][..., 0, :] + hidden


def too_many(name: str, size: int, number: int) -> ValueError:
    """Returns the refusal of a joint law with too many parameters."""
    return ValueError(
        f"AutoDiscrete: the {size} variables of the site {name!r} that nothing keeps apart would "
        f"take {number:,} parameters to depend on each other. Leave them independent by "
        f"structure={{{name!r}: 'mean_field', ...}}, which names the choice of each site; or write "
        "this site's guide by hand"
    )


def _prefixes(depth: int, size: int) -> int:
    # Past the largest table the exact number does not matter.
    return sum(size**d for d in range(depth)) if depth < 64 else LARGEST_TABLE + 1


def _beside(rows: Sequence[Array]) -> Array:
    """Returns rows whose leading dimensions broadcast, one beside the other."""
    shape = np.broadcast_shapes(*(tuple(row.shape[:-1]) for row in rows))
    wide = [ops.broadcast_to(row, (*shape, row.shape[-1])) for row in rows]
    return ops.concatenate(wide, -1)
