"""Which sites a guide draws given which others, and by what kind of joint law."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from relaxppl.common.auto.conditional import Conditional, Discrete, Parent
from relaxppl.common.auto.errors import (
    no_chain,
    subsampled_together,
    unknown_names,
    unknown_structure,
)
from relaxppl.common.auto.gaussian import Continuous, gate_of
from relaxppl.common.auto.graph import Factor, Link, Node, ordered
from relaxppl.common.auto.layout import Layout, layout_of
from relaxppl.common.auto.mean_field import MeanField
from relaxppl.common.auto.series import Series, series_of
from relaxppl.common.auto.site import Site

MEAN_FIELD, AUTOREGRESSIVE, CHAIN = "mean_field", "autoregressive", "chain"
STRUCTURES = (MEAN_FIELD, AUTOREGRESSIVE, CHAIN)


@dataclass(frozen=True)
class Real:
    """A continuous site on the whole line.

    :param frames: of its plates.
    :param event_dim: of its values.
    :param batch: of its plates' full sizes.
    :param event: the shape of one draw on the whole line.
    :param init: the first location there, (*batch, *event).
    """

    frames: tuple[Any, ...]
    event_dim: int
    batch: tuple[int, ...]
    event: tuple[int, ...]
    init: np.ndarray


def real_of(
    site: Any, free: np.ndarray, event: tuple[int, ...], full: Callable[[Any], int]
) -> Real:
    """Returns a continuous site of the model's trace, over its plates' full sizes.

    :param site: the site.
    :param free: its first value on the whole line, (*batch, *event).
    :param event: the shape of one draw there.
    :param full: the full size of a frame's plate.
    """
    batch, frames = list(site["fn"].batch_shape), tuple(site["cond_indep_stack"])
    rank = len(batch)
    for frame in frames:
        size = full(frame)
        if size != frame.size:
            free = np.take(free, np.arange(size) % frame.size, axis=frame.dim + rank)
            batch[frame.dim] = size
    return Real(frames, site["fn"].event_dim, tuple(batch), event, free)


class Structured(MeanField):
    """The part of ``AutoDiscrete`` that finds what each site is drawn given.

    A host's class defines the hooks at the end.
    """

    _structure: str | Mapping[str, str]
    _reals: dict[str, Real]
    """The continuous sites that this guide draws itself, or sees."""
    _series: dict[str, Series]
    """The sites of loops that it draws together; known after the first call."""
    _links: list[Conditional]
    """The sites that it draws, in order; none if it is a mean field."""

    @staticmethod
    def _checked_structure(structure: Any) -> str | Mapping[str, str]:
        given = structure.values() if isinstance(structure, Mapping) else (structure,)
        if not all(choice in STRUCTURES for choice in given):
            raise unknown_structure(structure, STRUCTURES)
        return dict(structure) if isinstance(structure, Mapping) else structure

    @property
    def _dependent(self) -> bool:
        """Whether any site may depend on another."""
        structure = self._structure
        given = structure.values() if isinstance(structure, Mapping) else (structure,)
        return any(choice != MEAN_FIELD for choice in given)

    def _link(self, factors: Iterable[Factor], draws_reals: bool) -> None:
        """Finds what each site is drawn given.

        :param factors: of the model, by its latent sites.
        :param draws_reals: whether the continuous sites are drawn here too.
        """
        sites: dict[str, Site | Real] = {**self._reals, **self._sites}
        structure, factors = self._structure, list(factors)
        if isinstance(structure, Mapping):
            unknown = structure.keys() - sites.keys()
            if unknown:
                raise unknown_names("structure", unknown, sites)
        self._series = series_of(
            {name: self._sites[name] for name in self._order(self._sites)},
            factors,
            lambda name: self._choice(name) == CHAIN,
            self._model_sites(),
        )
        whole = {step: name for name, found in self._series.items() for step in found.members}
        sites |= {name: found.site for name, found in self._series.items()}
        nodes = {}
        for name in dict.fromkeys(whole.get(name, name) for name in self._order(sites)):
            choice = self._choice(name)
            discrete = name not in self._reals
            plates = frozenset(frame.name for frame in sites[name].frames)
            apart = choice == MEAN_FIELD
            nodes[name] = Node(plates, discrete, apart, not discrete and not draws_reals)
        known = frozenset(sites)
        merged = [
            Factor(frozenset(whole.get(name, name) for name in f.sites & known), f.plates)
            for f in factors
        ]
        links = ordered(nodes, merged)
        self._links = [
            self._conditional(seed, link, nodes[link.name])
            for seed, link in enumerate(links)
            if draws_reals or link.name not in self._reals
        ]

    def _conditional(self, seed: int, link: Link, node: Node) -> Conditional:
        site = self._site_of(link.name)
        batch, event = self._shape_of(link.name)
        frames = [(frame.name, frame.dim) for frame in site.frames]
        local = frozenset(dim for name, dim in frames if name in link.local)
        if node.apart:  # Its variables are drawn one by one, whatever lies in no plate too.
            local = frozenset(range(-len(batch), 0))
        layout = Layout(batch, event, local)
        for frame in site.frames:
            if frame.dim not in local and self._full_size(frame.name) != frame.size:
                raise subsampled_together(link.name, frame.name)
        parents = [self._parent(name, link.local) for name in link.parents]
        if link.name in self._reals:
            gate = gate_of(layout, parents)
            return Continuous(link.name, layout, parents, link.local, gate)
        values = self._values_of(link.name)
        chain = self._choice(link.name) == CHAIN and layout.size > 1
        if chain and sum(n > 1 for n in (*(batch[d] for d in layout.together), *event)) > 1:
            raise no_chain(link.name, (*batch, *event))
        # The model has a chain there too: the site itself takes the guide's.
        named = chain and site.path and not layout.together
        return Discrete(
            *(link.name, layout, parents, link.local, values, seed, node.apart, chain, named)
        )

    def _choice(self, name: str) -> str:
        structure = self._structure
        if name in self._series:
            return CHAIN
        return structure if isinstance(structure, str) else structure.get(name, MEAN_FIELD)

    def _parent(self, name: str, local: frozenset[str]) -> Parent:
        frames = [(frame.name, frame.dim) for frame in self._site_of(name).frames]
        layout = layout_of(*self._shape_of(name), frames, local)
        return Parent(name, layout, self._values_of(name), name not in self._reals)

    def _site_of(self, name: str) -> Any:
        if name in self._series:
            return self._series[name].site
        return self._sites[name] if name in self._sites else self._reals[name]

    def _with_logits(self) -> dict[str, Site]:
        """Returns what has first logits of its own: the sites, a series in place of its steps."""
        steps = {step for found in self._series.values() for step in found.members}
        alone = {name: site for name, site in self._sites.items() if name not in steps}
        return {**alone, **{name: found.site for name, found in self._series.items()}}

    def _shape_of(self, name: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Returns a site's batch and the shape of the variables of one draw."""
        if name in self._reals:
            return self._reals[name].batch, self._reals[name].event
        site = self._site_of(name)
        return site.batch, site.event if site.kind == "binary" else site.event[:-1]

    def _values_of(self, name: str) -> int:
        if name in self._reals:
            return 2
        site = self._site_of(name)
        return 2 if site.kind == "binary" else site.event[-1]

    def _order(self, names: Iterable[str]) -> list[str]:
        """Returns names in the model's order."""
        known = set(names)
        return [name for name in self._model_sites() if name in known]

    # The hooks of a host.

    def _model_sites(self) -> Mapping[str, Any]:
        """Returns the sites of the model's first run, in its order."""
        raise NotImplementedError

    def _full_size(self, plate: str) -> int:
        """Returns a plate's full size."""
        raise NotImplementedError
