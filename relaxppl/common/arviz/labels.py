"""Names of the dimensions of what a program draws: plates, the user's names, ArviZ's own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

RESERVED = ("chain", "draw")


@dataclass(frozen=True)
class Dims:
    """Where the variables of one site get their dimensions from.

    :param batch_rank: how many dimensions come before the event's.
    :param plates: names of plates by their dimension, -1 the innermost of the batch.
    :param event_rank: how many dimensions the event has, which log likelihoods leave out.
    """

    batch_rank: int = 0
    plates: Mapping[int, str] = field(default_factory=dict)
    event_rank: int = 0


def deterministic_site(shape: Sequence[int], plates: Mapping[int, tuple[str, int]]) -> Dims:
    """Returns the dimensions of a deterministic value, which does not say what its event is.

    The plates around it name its leading dimensions if all their sizes fit there, else none.

    :param shape: of the value.
    :param plates: names and sizes of the plates around it, by dimension.
    """
    rank = max((-dim for dim in plates), default=0)
    fits = len(shape) >= rank and all(
        shape[rank + dim] == size for dim, (_, size) in plates.items()
    )
    return Dims(rank, {dim: name for dim, (name, _) in plates.items()}) if fits else Dims()


class Labels:
    """Names of variables, of their dimensions, and the coordinates of those.

    Sites of nested scopes have a slash in their name, which is a group's separator in netCDF and
    zarr: it becomes a dot.

    :param sites: by name.
    :param variables: every name that a variable may have, those of the sites included.
    :param dims: the user's names of dimensions, by variable.
    :param coords: the user's labels, by dimension.
    :raises ValueError: if dims names no variable, or two sites get one name.
    """

    def __init__(
        self,
        sites: Mapping[str, Dims],
        variables: Iterable[str],
        dims: Mapping[str, Sequence[str]],
        coords: Mapping[str, Any],
    ) -> None:
        self.sites = dict(sites)
        self._names = {plain(name) for name in variables}
        self._user_dims = {plain(name): dims[name] for name in dims}
        self._coords = {name: np.asarray(labels) for name, labels in coords.items()}
        self._sizes: dict[str, int] = {}
        written: dict[str, str] = {}
        for name in variables:
            if written.setdefault(plain(name), name) != name:
                raise ValueError(
                    f"to_arviz: the sites {written[plain(name)]!r} and {name!r} would both be "
                    f"written as {plain(name)!r}; rename one"
                )
        unknown = [name for name in dims if plain(name) not in self._names]
        if unknown:
            raise ValueError(
                f"to_arviz: dims names {', '.join(map(repr, unknown))}; the variables are: "
                f"{', '.join(sorted(self._names))}"
            )

    def of(self, variable: str, site: str, shape: Sequence[int]) -> tuple[str, ...]:
        """Returns the names of a variable's dimensions, without chain and draw.

        :param variable: its name.
        :param site: the site that it comes from, whose names of dimensions it takes.
        :param shape: without chain and draw.
        :raises ValueError: if the user's names are too many or too few.
        """
        at = self.sites.get(site, Dims())
        rank = min(at.batch_rank, len(shape))
        names: list[str | None] = [at.plates.get(i - rank) for i in range(rank)]
        names += [None] * (len(shape) - rank)
        free = [i for i, name in enumerate(names) if name is None]
        given = self._user_dims.get(plain(variable), self._user_dims.get(plain(site)))
        own = plain(site)
        if given is None or (not free and plain(variable) not in self._user_dims):
            given = [f"{own}_dim_{i}" for i in range(len(free))]
        elif (lost := at.batch_rank + at.event_rank - len(shape)) > 0:
            given = given[:-lost]
        if len(given) == len(shape) and len(given) != len(free):
            names = list(given)
        elif len(given) == len(free):
            for index, name in zip(free, given, strict=True):
                names[index] = name
        elif variable == site or plain(variable) in self._user_dims:
            plates = ", ".join(repr(n) for n in names if n is not None) or "none"
            raise ValueError(
                f"to_arviz: dims gives {variable!r} the names {list(given)}, but it has shape "
                f"{tuple(shape)}, of which plates name: {plates}; give {len(free)} names for the "
                f"other dimensions or {len(shape)} for all"
            )
        else:
            for index in free:
                names[index] = f"{plain(variable)}_dim_{index}"
        made = tuple(self._free_of_variables(str(name)) for name in names)
        if len(set(made)) != len(made):
            raise ValueError(f"to_arviz: {variable!r} has two dimensions of one name: {made}")
        self._sizes.update(zip(made, shape, strict=True))
        return made

    def _free_of_variables(self, dim: str) -> str:
        # xarray takes a variable named as its dimension for that dimension's coordinate.
        dim = plain(dim)
        return f"{dim}_dim" if dim in self._names or dim in RESERVED else dim

    def coords(self, dims: Iterable[str], sizes: Mapping[str, int]) -> dict[str, np.ndarray]:
        """Returns the labels of dimensions: the user's, or counted from 0.

        :param dims: names of dimensions.
        :param sizes: of each.
        :raises ValueError: if the user's labels are of another number.
        """
        made = {}
        for dim in dims:
            labels = self._coords.get(dim)
            if labels is not None and labels.shape != (sizes[dim],):
                raise ValueError(
                    f"to_arviz: coords gives the dimension {dim!r} labels of shape {labels.shape}, "
                    f"but its size is {sizes[dim]}"
                )
            made[dim] = np.arange(sizes[dim]) if labels is None else labels
        return made

    def check_coords_used(self) -> None:
        """Checks, when every variable has its dimensions, that no label is left over.

        :raises ValueError: naming the dimension.
        """
        unknown = [dim for dim in self._coords if dim not in self._sizes]
        if unknown:
            raise ValueError(
                f"to_arviz: coords names {', '.join(map(repr, unknown))}; the dimensions are: "
                f"{', '.join(sorted(self._sizes)) or 'none'}"
            )


def plain(name: str) -> str:
    """Returns a site's name as a variable's."""
    return name.replace("/", ".")
