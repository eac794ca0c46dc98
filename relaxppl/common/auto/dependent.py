"""The part of ``AutoDiscrete`` whose sites depend on each other, as far as it needs no host."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import Any

import numpy as np

from relaxppl import ops
from relaxppl.common.auto.conditional import Discrete
from relaxppl.common.auto.errors import given_in_part, uncovered
from relaxppl.common.auto.gaussian import (
    Continuous,
    first_location,
    first_log_scale,
    standardised,
)
from relaxppl.common.auto.network import network_of
from relaxppl.common.auto.structure import Structured
from relaxppl.common.auto.tree import joint_logits, rows_of
from relaxppl.ops import Array

_AUXILIARY = {"is_auxiliary": True}


class Dependent(Structured):
    """A guide over the discrete latent sites, beside one over the continuous sites.

    Each discrete site gets a law of its own class with free logits: a Bernoulli, a Categorical, a
    OneHotCategorical, or for a count a :class:`FiniteCount`. Sites with
    ``infer={"enumerate": ...}`` get no guide: the ELBOs sum them out.

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

    prototype_trace: Any
    """Of the model's first run; None before the guide's first."""
    _part_sites: frozenset[str]
    """The sites that the guide of the continuous sites draws."""
    _whole: bool
    """Whether a run is over the plates' full sizes."""
    _setup_prototype: Callable[..., None]
    """Runs the model for the first time, on the host."""
    _create_plates: Callable[..., Any]
    """Returns the model's plates by name, on the host."""

    def _begin(
        self,
        amortize: Callable[..., Mapping[str, Any]] | None,
        features: Callable[[Array], Array] | None,
        inputs: Callable[..., Any] | None,
        structure: str | Mapping[str, str],
        sizes: Mapping[str, int] | None,
        tail: float,
        init_scale: float,
    ) -> None:
        """Keeps the arguments of the host's class, and knows nothing of the model yet.

        :param features: the network, as a function of the rows.
        """
        self._amortize = amortize
        self._network = network_of(features, inputs, amortize)
        self._structure = self._checked_structure(structure)
        self._sizes, self._tail, self._init_scale = dict(sizes or {}), tail, init_scale
        self._sites, self._reals, self._series, self._links = {}, {}, {}, []
        self._part_sites, self._whole = frozenset(), False

    def _run(self, *args: Any, **kwargs: Any) -> dict[str, Array]:
        """Draws every latent site of the model.

        :returns: the values by site.
        """
        if self.prototype_trace is None:
            self._setup_prototype(*args, **kwargs)
        plates = self._create_plates(*args, **kwargs)
        given = self._amortized(plates, args, kwargs)
        result = {}
        if self._part_sites:
            result = self._drawn_by_part(plates, args, kwargs)
            missing = self._part_sites - result.keys()
            if missing:
                raise uncovered(missing)
        if self._dependent:
            return {**result, **self._draw_given(plates, given, result)}
        return {**result, **self._draw(plates, given)}

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
        result, runtime = {}, self._host.runtime
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
                    fn = runtime.distributions.Delta(
                        x, log_density=log_density, event_dim=site.event_dim
                    )
                    result[step] = runtime.sample(step, fn)
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
        by = {"precision_matrix": law.matrix()} if law.precise else {"scale_tril": law.factor}
        runtime = self._host.runtime
        fn = runtime.distributions.MultivariateNormal(law.loc, **by)
        drawn = runtime.sample(f"{link.name}_free", fn, infer=_AUXILIARY)
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
            value = self._host.runtime.sample(name, site.law(logits))
            return value, self._encoded(name, value)
        if site.kind == "binary":
            logits = ops.stack([ops.zeros_like(logits), logits], -1)
        parameters = link.parameters(link.layout.gather(logits, 1), known, read)
        if link.layout.alone:
            alone = link.alone(parameters)
            if site.kind == "binary":
                alone = alone[..., 1] - alone[..., 0]
            value = self._host.runtime.sample(name, site.law(alone))
            return value, self._encoded(name, value)
        if "tree" in parameters:
            # One variable to the estimators: those that need no relaxed value take it.
            joint = joint_logits(parameters["tree"])
            law = self._host.laws["integer"](logits=joint)
            drawn = self._host.runtime.sample(f"{name}_joint", law, infer=_AUXILIARY)
            rows = rows_of(drawn, link.layout.size, link.values, joint)
        else:
            law = (self._host.chain if link.chain else self._host.sequence)(**parameters)
            if link.named:
                value = self._host.runtime.sample(name, law)
                return value, value
            rows = self._host.runtime.sample(f"{name}_joint", law, infer=_AUXILIARY)
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

    def _constrained(self, name: str, free: Array) -> tuple[Array, Array]:
        """Returns a site's value, and minus the log of how much it stretches space, (*batch)."""
        transform = self._host.biject_to(self._model_sites()[name]["fn"].support)
        value = transform(free)
        stretch = transform.log_abs_det_jacobian(free, value)
        events = self._reals[name].event_dim - transform.codomain.event_dim
        return value, -self._host.sum_rightmost(stretch, events)

    def _unconstrained(self, name: str, value: Array) -> Array:
        """Returns a site's value on the whole line."""
        return self._host.biject_to(self._model_sites()[name]["fn"].support).inv(value)

    # The hooks of a host.

    def _drawn_by_part(
        self, plates: Mapping[str, Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> dict[str, Array]:
        """Returns what the guide of the continuous sites draws."""
        raise NotImplementedError

    def _floating(self, value: Array) -> Array:
        """Returns a value as floats."""
        raise NotImplementedError

    def _as_drawn(self, name: str, value: Array) -> Array:
        """Returns a binary site's value in the type in which the model draws it."""
        raise NotImplementedError
