"""The sites of a loop over time, z_0, ..., z_T, as one variable of a guide.

A loop names each of its sites anew, so what an array holds as one site is many here. A guide that
is to be a chain draws them together, by one law, and hands each site its step.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from relaxppl import ops
from relaxppl.common.auto.graph import Factor
from relaxppl.common.auto.site import Site
from relaxppl.ops import Array

_NUMBERED = re.compile(r"(.*?)_?\d+")


@dataclass(frozen=True)
class Series:
    """Sites that a guide draws as one.

    :param members: their names, in the order of the loop.
    :param site: the variable that they are together, time its first event dimension.
    """

    members: tuple[str, ...]
    site: Site

    def stacked(self, rows: Sequence[Array]) -> Array:
        """Returns an array of every member, (..., *batch, *event each), as one, time in between."""
        return ops.stack(rows, -len(self.site.event))

    def steps(self, value: Array) -> list[Array]:
        """Returns the value of each member.

        :param value: (..., *batch, T), of a one-hot (..., *batch, T, K).
        """
        if self.site.kind == "one-hot":
            return [value[..., t, :] for t in range(len(self.members))]
        return [value[..., t] for t in range(len(self.members))]


def series_of(
    sites: Mapping[str, Site],
    factors: Iterable[Factor],
    chosen: Callable[[str], bool],
    taken: Collection[str],
) -> dict[str, Series]:
    """Returns the series among a model's sites, by the name that each is given.

    Sites are steps of one series if their names differ in a number at the end, they have one law
    and the same plates, and each of them is drawn given the one before.

    :param sites: the discrete latent sites, in the model's order.
    :param factors: of the model.
    :param chosen: whether a site is to be part of a chain.
    :param taken: the names of all sites of the model.
    """
    own = {factor.of: factor.sites for factor in factors if factor.of}
    runs: list[tuple[str, list[str]]] = []
    last: dict[str, list[str]] = {}
    for name, site in sites.items():
        numbered = _NUMBERED.fullmatch(name)
        single = len(site.event) == (0 if site.kind == "binary" else 1)
        if numbered is None or not single or not chosen(name):
            continue
        stem = numbered[1]
        run = last.get(stem)
        if run and run[-1] in own[name] and _alike(sites[run[-1]], site):
            run.append(name)
        else:
            last[stem] = [name]
            runs.append((stem, last[stem]))
    found: dict[str, Series] = {}
    for stem, run in runs:
        if len(run) > 1:
            free = stem and stem not in taken and stem not in found
            found[stem if free else f"{run[0]}_series"] = _joined(run, sites)
    return found


def _alike(one: Site, other: Site) -> bool:
    same = (one.kind, one.event, one.batch) == (other.kind, other.event, other.batch)
    return same and {f.name for f in one.frames} == {f.name for f in other.frames}


def _joined(run: Sequence[str], sites: Mapping[str, Site]) -> Series:
    first = sites[run[0]]
    init = np.stack([sites[name].init for name in run], axis=-1 - len(first.event))
    event = (len(run), *first.event)
    return Series(tuple(run), replace(first, event=event, init=init))
