"""Every joint value of some discrete sites, as indices into their supports.

Within a plate the elements do not see each other, so that one value for all of them at a time
covers a plate whatever its size, if all that depends on the sites lies in it too.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

MOST_STATES = 4096


@dataclass(frozen=True)
class Variable:
    """A discrete site of a guide.

    :param kind: binary, one-hot, integer, count or other.
    :param class_name: of its distribution.
    :param support: the values of one draw, (S, *event of one draw); None if there is no end to
        them, or they are not known.
    :param shape: of the draws: the site's shape without the event of one draw.
    :param plates: the dimensions of its plates, counted from the right of the batch, and their
        names.
    :param relaxable: whether a relaxation of its distribution is registered.
    :param event_dim: how many rightmost dimensions of ``shape`` are not batch dimensions.
    """

    kind: str
    class_name: str
    support: np.ndarray | None
    shape: tuple[int, ...]
    plates: Mapping[str, int]
    event_dim: int
    relaxable: bool = False

    @property
    def draws(self) -> int:
        """How many draws the site makes, over plates too."""
        return math.prod(self.shape)

    def free(self, by_plate: bool) -> tuple[int, ...]:
        """Returns the shape of what takes values of its own, plates with one value for all."""
        shape = list(self.shape)
        if by_plate:
            for dim in self.plates.values():
                shape[dim - self.event_dim] = 1
        return tuple(shape)


def states(variables: Mapping[str, Variable], by_plate: bool) -> float:
    """Returns the number of joint values; infinity where a support has no known end."""
    log_total = 0.0
    for variable in variables.values():
        if variable.support is None:
            return math.inf
        log_total += math.prod(variable.free(by_plate)) * math.log(len(variable.support))
    if log_total < 30.0:
        return round(math.exp(log_total))
    return math.exp(log_total) if log_total < 700.0 else math.inf


def assignments(variables: Mapping[str, Variable], by_plate: bool) -> dict[str, np.ndarray]:
    """Returns every joint value, C of them, by site.

    :param variables: with known supports.
    :param by_plate: whether the elements of a plate take one value together.
    :returns: by site, (C, *shape of the site).
    """
    radices: list[int] = []
    for variable in variables.values():
        assert variable.support is not None
        radices += [len(variable.support)] * math.prod(variable.free(by_plate))
    # A site with one value makes no choice, and NumPy counts in no more than 64 digits.
    choices = [r for r in radices if r > 1]
    total = math.prod(choices)
    digits = np.unravel_index(np.arange(total), choices) if choices else ()
    columns = iter(digits)
    table = [next(columns) if r > 1 else np.zeros(total, dtype=int) for r in radices]
    found, start = {}, 0
    for name, variable in variables.items():
        assert variable.support is not None
        free = variable.free(by_plate)
        stop = start + math.prod(free)
        index = np.array(table[start:stop], dtype=int).T.reshape((total, *free))
        index = np.broadcast_to(index, (total, *variable.shape))
        found[name] = variable.support[index]
        start = stop
    return found


class Inspected:
    """A guide's discrete sites, and what depends on what.

    :param model: the model, on NumPyro not seeded.
    :param guide: the guide, on NumPyro not seeded.
    :param args: positional arguments of both.
    :param kwargs: keyword arguments of both.
    """

    # A host's class finds these.

    candidates: list[Any]
    """What the estimators are asked about: the discrete sites, with or without finite supports."""
    variables: dict[str, Variable]
    random: bool
    """Whether the program draws more than these sites: continuous values or subsamples."""
    model_latents: set[str]
    coupled: list[tuple[str, str]]
    """Pairs of a discrete site and a site that sees several elements of its plates."""
    upstream: Mapping[str, frozenset[str]]
    """By site, the discrete sites that its parameters depend on in the guide."""
    dependent: list[str]
    """The guide's other sites that are drawn given discrete values."""
    by_plate: bool
    """Whether all elements of the sites' plates take the same value at a time."""

    @property
    def states(self) -> float:
        """How many evaluations of the program enumerate the sites."""
        return states(self.variables, self.by_plate)


class Enumerated:
    """The mean of the negative ELBO over a guide's discrete sites, at one draw of the others.

    It evaluates log densities and nothing else: what depends on what plays no part, but for the
    plates, whose elements do not see each other. A mixin beside the host's ``ELBO``.

    :param inspected: the program's sites, with finitely many joint values.
    """

    def __init__(self, inspected: Any) -> None:
        super().__init__()
        self.inspected = inspected
