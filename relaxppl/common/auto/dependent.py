"""The part of ``AutoDiscrete`` whose sites depend on each other, as far as it needs no host."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from relaxppl import ops
from relaxppl.common.auto.conditional import Conditional, Discrete, Parent
from relaxppl.common.auto.errors import (
    given_in_part,
    no_chain,
    subsampled_together,
    unknown_names,
    unknown_structure,
)
from relaxppl.common.auto.gaussian import (
    Continuous,
    first_location,
    first_log_scale,
    gate_of,
    standardised,
)
from relaxppl.common.auto.graph import Factor, Link, Node, ordered
from relaxppl.common.auto.layout import Layout, layout_of
from relaxppl.common.auto.mean_field import MeanField, Site
from relaxppl.common.auto.series import Series, series_of
from relaxppl.common.auto.tree import joint_logits, rows_of
from relaxppl.ops import Array

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


class Dependent(MeanField):
    """A guide over the discrete latent sites, beside one over the continuous sites.

    :param model: the model, discrete as it was written.
    :param continuous: makes the guide of the continuous sites: a class of the host's autoguides, a
        function of the model, which then has those sites only, or an autoguide of a model whose
        discrete sites are blocked.
    :param structure: "mean_field", no site depending on another; "autoregressive", each given those
        before it that the model's factors make it depend on; "chain", the same, but the elements of
        one site, and the sites z_0, ..., z_T of a loop, given the one before alone; or one of these
        by site, the sites that are not named being independent. Then the continuous sites, where
        ``continuous`` is not given, are normal on the whole line given the sites before them.
    :param sizes: how many values 0, ..., n - 1 a count keeps, by site; where not given, as many as
        leave the prior at most the tail.
    :param tail: a number between 0 and 1.
    :param init_scale: the standard deviation of the noise on the first logits.
    :param init_loc_fn: as of the host's autoguides, for the continuous sites.
    :param create_plates: as of the host's autoguides.
    :raises ValueError: if amortize and network are both given, or inputs without network; at the
        first call, if the model has no discrete latent site, one for which
        there is no law here, or a count whose number of values is not known.
    """

    # A host's class sets the class attributes and defines the hooks at the end, of both classes.

    _joint_laws: ClassVar[Mapping[str, Callable[..., Any]]]
    """The classes of a sequence and a chain, by their first parameter."""
    _delta: ClassVar[Callable[..., Any]]
    _normal: ClassVar[Callable[..., Any]]
    _biject_to: ClassVar[Callable[..., Any]]
    """From a support to the map of the whole line onto it."""
    _sum_rightmost: ClassVar[Callable[..., Any]]
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

    def _draw_given(
        self, plates: Mapping[str, Any], given: Mapping[str, Any], drawn: Mapping[str, Array]
    ) -> dict[str, Array]:
        """Draws every site of this guide's own, each given those before it.

        :param plates: by name.
        :param given: amortised logits by site.
        :param drawn: the values of the continuous sites, where another guide draws them.
        """
        known = {}
        for name, value in drawn.items():
            free = self._unconstrained(name, value)
            known[name] = ops.stack([free, free * free], -1)
        result = {}
        for link in self._links:
            name, site = link.name, self._site_of(link.name)

            def read(kind: str, first: np.ndarray, rank: int, name: str = name) -> Array:
                return self._learned(name, kind, first, rank)

            with ExitStack() as stack:
                for frame in site.frames:
                    if frame.name in link.plates:
                        stack.enter_context(plates[frame.name])
                if isinstance(link, Continuous):
                    free, known[name] = self._draw_real(link, known, read)
                else:
                    logits = self._given(name, given, plates)
                    assert isinstance(link, Discrete)
                    value, known[name] = self._draw_discrete(link, logits, known, read)
            if isinstance(link, Discrete) and (link.apart or link.layout.alone or link.named):
                result[name] = value
                continue
            with ExitStack() as stack:
                for frame in site.frames:
                    stack.enter_context(plates[frame.name])
                log_density: Any = 0.0
                if isinstance(link, Continuous):
                    value, log_density = self._constrained(name, free)
                for step, x in self._steps(name, value):
                    fn = self._delta(x, log_density=log_density, event_dim=site.event_dim)
                    result[step] = self._runtime.sample(step, fn)
        return result

    def _given(
        self, name: str, given: Mapping[str, Any], plates: Mapping[str, Any]
    ) -> Array | None:
        """Returns a site's amortised logits, or None where it has none."""
        series = self._series.get(name)
        members = (name,) if series is None else series.members
        rows = [
            self._rows(step, self._sites[step], self._array(given[step]), plates)
            for step in members
            if step in given
        ]
        if not rows:
            return None
        if len(rows) < len(members):
            raise given_in_part(name, [step for step in members if step not in given])
        return rows[0] if series is None else series.stacked(rows)

    def _steps(self, name: str, value: Array) -> list[tuple[str, Array]]:
        """Returns the sites that a variable's value belongs to, and what each of them gets."""
        if name not in self._series:
            return [(name, value)]
        series = self._series[name]
        return list(zip(series.members, series.steps(value), strict=True))

    def _draw_real(
        self, link: Continuous, known: Mapping[str, Array], read: Any
    ) -> tuple[Array, Array]:
        """Returns a draw of a site on the whole line, and the same encoded."""
        site = self._reals[link.name]
        seed = list(self._reals).index(link.name)
        first = first_location(site.init, self._init_scale, seed)
        loc = link.layout.gather(read("loc", first, len(site.event)), 0)
        width = first_log_scale(site.init)
        log_scale = link.layout.gather(read("log_scale", width, len(site.event)), 0)
        law = link.normal(loc, log_scale, known, read)
        kind = "precision_matrix" if law.precise else "scale_tril"
        fn = self._normal(law.loc, **{kind: law.matrix() if law.precise else law.factor})
        drawn = self._runtime.sample(f"{link.name}_free", fn, infer=_AUXILIARY)
        columns = standardised(law.noise(drawn))
        return link.layout.scatter(drawn, 0), link.layout.scatter(columns, 1)

    def _draw_discrete(
        self, link: Discrete, logits: Array | None, known: Mapping[str, Array], read: Any
    ) -> tuple[Array, Array]:
        """Returns a draw of a site, and the same encoded, (..., *batch, *event, K)."""
        name, site = link.name, self._site_of(link.name)
        if logits is None:
            logits = self._learned_logits(name, site)
        if link.apart:
            value = self._runtime.sample(name, site.law(logits))
            return value, self._encoded(name, value)
        if site.kind == "binary":
            logits = ops.stack([ops.zeros_like(logits), logits], -1)
        parameters = link.parameters(link.layout.gather(logits, 1), known, read)
        if link.layout.alone:
            alone = link.alone(parameters)
            if site.kind == "binary":
                alone = alone[..., 1] - alone[..., 0]
            value = self._runtime.sample(name, site.law(alone))
            return value, self._encoded(name, value)
        if "tree" in parameters:
            # One variable to the estimators: those that need no relaxed value take it.
            joint = joint_logits(parameters["tree"])
            law = self._laws["integer"](logits=joint)
            drawn = self._runtime.sample(f"{name}_joint", law, infer=_AUXILIARY)
            rows = rows_of(drawn, link.layout.size, link.values, joint)
        else:
            law = self._joint_laws[next(iter(parameters))](**parameters)
            if link.named:
                value = self._runtime.sample(name, law)
                return value, value
            rows = self._runtime.sample(f"{name}_joint", law, infer=_AUXILIARY)
        encoded = link.layout.scatter(rows, 1)
        return self._decoded(name, encoded), encoded

    def _encoded(self, name: str, value: Array) -> Array:
        kind, size = self._sites[name].kind, self._values_of(name)
        if kind == "binary":
            value = self._floating(value)
            return ops.stack([1.0 - value, value], -1)
        if kind == "one-hot":
            return value
        return ops.one_hot(value, size, self._floating(value))

    def _decoded(self, name: str, encoded: Array) -> Array:
        kind = self._site_of(name).kind
        if kind == "binary":
            first = self._series[name].members[0] if name in self._series else name
            return self._as_drawn(first, encoded[..., 1])
        return encoded if kind == "one-hot" else ops.argmax(encoded, axis=-1)

    def _means(self, drawn: Mapping[str, Array]) -> dict[str, Array]:
        """Returns the marginal probabilities of the discrete sites.

        :param drawn: draws, along a first axis.
        """
        found = {}
        for name, site in self._sites.items():
            encoded = self._encoded(name, drawn[name])
            mean = ops.sum(encoded, axis=0) / float(encoded.shape[0])
            found[name] = mean[..., 1] if site.kind == "binary" else mean
        return found

    def _order(self, names: Iterable[str]) -> list[str]:
        """Returns names in the model's order."""
        known = set(names)
        return [name for name in self._model_sites() if name in known]

    def _constrained(self, name: str, free: Array) -> tuple[Array, Array]:
        """Returns a site's value, and minus the log of how much it stretches space, (*batch)."""
        transform = self._biject_to(self._model_sites()[name]["fn"].support)
        value = transform(free)
        stretch = transform.log_abs_det_jacobian(free, value)
        events = self._reals[name].event_dim - transform.codomain.event_dim
        return value, -self._sum_rightmost(stretch, events)

    def _unconstrained(self, name: str, value: Array) -> Array:
        """Returns a site's value on the whole line."""
        return self._biject_to(self._model_sites()[name]["fn"].support).inv(value)

    # The hooks of a host.

    def _model_sites(self) -> Mapping[str, Any]:
        """Returns the sites of the model's first run, in its order."""
        raise NotImplementedError

    def _full_size(self, plate: str) -> int:
        """Returns a plate's full size."""
        raise NotImplementedError

    def _floating(self, value: Array) -> Array:
        """Returns a value as floats."""
        raise NotImplementedError

    def _as_drawn(self, name: str, value: Array) -> Array:
        """Returns a binary site's value in the type in which the model draws it."""
        raise NotImplementedError


_AUXILIARY = {"is_auxiliary": True}
