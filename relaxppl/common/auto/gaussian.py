"""The law that a dependent guide has for a continuous site, given the sites before it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from relaxppl import ops
from relaxppl.common.auto.conditional import Conditional, Parent, Read
from relaxppl.ops import Array

_LARGEST_MATRIX = 300
"""Of how many variables at most the correlations are learned."""
_SCALE = 0.1


class Normal(NamedTuple):
    """A normal law of D variables.

    :param loc: (..., *kept, D).
    :param factor: of the covariance, or of the precision, lower-triangular, (..., *kept, D, D).
    :param precise: whether it is the precision's.
    """

    loc: Array
    factor: Array
    precise: bool

    def matrix(self) -> Array:
        """Returns what the factor is one of."""
        return ops.matmul(self.factor, ops.transpose(self.factor))

    def noise(self, value: Array) -> Array:
        """Returns the standard normal variables that a value stands for, (..., *kept, D)."""
        moved = value - self.loc
        if self.precise:
            return ops.matvec(ops.transpose(self.factor), moved)
        return ops.solve_triangular(self.factor, moved)


@dataclass(frozen=True)
class Continuous(Conditional):
    """Normal variables whose locations and scales depend on the parents.

    Where a binary parent has a flag for each variable, as those of a regression's features for its
    coefficients, the law is what a normal prior and a normal likelihood of the products of flags
    and variables make: of precision diag(t) + F S F with F = diag(flags). Given all flags that is
    the exact form of the posterior of a linear model. Else the locations and the logarithms of the
    scales are linear in the parents, or have entries for each joint value of them, and the
    variables of one site are correlated.

    :param gate: the parent with the flags.
    """

    gate: Parent | None = None

    @property
    def correlated(self) -> bool:
        """Whether the variables of the site are correlated given the parents."""
        return 1 < self.layout.size <= _LARGEST_MATRIX

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shapes of what is beside location and scale, without the batch, by name."""
        size = self.layout.size
        found: dict[str, tuple[int, ...]] = {}
        rows = size if self.gate else 2 * size
        if self.columns:
            found["linear"] = (rows, self.columns)
        if self.gate:
            found["gated_loc"], found["gated_scale"] = (size,), (size,)
        elif self.cells > 1:
            found["table"] = (self.cells, rows)
        if self.correlated:
            found["mix"] = (size, size)
        return found

    def normal(
        self, loc: Array, log_scale: Array, known: Mapping[str, Array], read: Read
    ) -> Normal:
        """Returns the law given the parents.

        :param loc: without the parents, (..., *kept, D).
        :param log_scale: of the same shape.
        :param known: the values of the parents, encoded.
        :param read: gives parameters.
        """
        given = {
            kind: read(kind, np.zeros((*self.layout.kept, *shape)), len(shape))
            for kind, shape in self.shapes.items()
        }
        seen, size = self.linear_in(known), self.layout.size
        moved = None if seen is None else self.pace * ops.matvec(given["linear"], seen)
        identity = ops.like(loc, np.eye(size))
        mix = identity
        if self.correlated:
            mix = mix + given["mix"] * ops.like(loc, np.tri(size, k=-1))
        if self.gate is not None:
            flags = self.gate.seen(known[self.gate.name], len(self.layout.batch))[..., 1]
            factor = ops.exp(given["gated_scale"])[..., None] * mix
            gated = flags[..., None] * factor
            diagonal = ops.exp(-2.0 * log_scale)
            precision = ops.matmul(gated, ops.transpose(gated)) + diagonal[..., None] * identity
            lower = ops.cholesky(precision)
            inner = ops.matvec(ops.transpose(factor), given["gated_loc"] + loc)
            centre = _solve(lower, diagonal * loc + ops.matvec(gated, inner))
            return Normal(centre if moved is None else centre + moved, lower, True)
        if moved is not None:
            # Without a table the parents may have more joint values than fit into memory.
            cell = self.cell(known) if "table" in given else None
            if cell is not None:
                moved = moved + ops.sum(cell[..., :, None] * given["table"], axis=-2)
            loc, log_scale = loc + moved[..., :size], log_scale + moved[..., size:]
        return Normal(loc, ops.exp(log_scale)[..., None] * mix, False)


def gate_of(layout: object, parents: list[Parent]) -> Parent | None:
    """Returns the parent that has a flag for each variable of a layout, if there is one."""
    fitting = (p for p in parents if p.discrete and p.values == 2 and p.layout == layout)
    return next(fitting, None)


def first_location(at: np.ndarray, scale: float, seed: int) -> np.ndarray:
    """Returns the first locations, with noise on them that breaks symmetries.

    :param at: where they are without.
    :param scale: the noise's standard deviation.
    :param seed: of the noise.
    """
    return at + scale * np.random.default_rng(seed).standard_normal(at.shape)


def first_log_scale(like: np.ndarray) -> np.ndarray:
    """Returns the first logarithm of the scale, of the shape of the location."""
    return np.full_like(like, math.log(_SCALE))


def standardised(noise: Array) -> Array:
    """Returns a standard normal variable as columns of mean zero and variance one, (..., 2)."""
    return ops.stack([noise, (noise * noise - 1.0) / math.sqrt(2.0)], -1)


def _solve(lower: Array, vector: Array) -> Array:
    """Returns x with L L^T x = the vector, (..., D)."""
    inner = ops.solve_triangular(lower, vector)
    upper = ops.flip(ops.flip(ops.transpose(lower), -1), -2)
    return ops.flip(ops.solve_triangular(upper, ops.flip(inner, -1)), -1)
