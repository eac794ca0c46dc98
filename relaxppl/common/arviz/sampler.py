"""A model and its trained guide, run to draw from: what both hosts do alike."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

from relaxppl.common.arviz.correct import Rows
from relaxppl.common.arviz.labels import Dims, deterministic_site
from relaxppl.common.arviz.particles import Particles
from relaxppl.common.arviz.prototype import Prototype, check_covered, inexact
from relaxppl.common.arviz.request import Request
from relaxppl.common.arviz.trace import (
    is_auxiliary,
    is_discrete,
    is_latent,
    latents,
    posterior,
    written_relaxed,
)
from relaxppl.common.relax.host import Host
from relaxppl.common.relax.watching import Watched
from relaxppl.estimators.program import Term, reduce_to
from relaxppl.estimators.site import Frame, Frames
from relaxppl.ops import as_numpy

Trace = dict[str, dict[str, Any]]
Draws = dict[str, dict[str, Any]]
"""By group and variable."""


@dataclass
class Sampler(Particles):
    """A model and its trained guide.

    A host's class defines the hooks at the end. Where they take a key, it is the host's PRNG key,
    or None where the host keeps the state of its random numbers itself.

    :param model: as SVI takes it.
    :param guide: as SVI takes it.
    :param params: constrained values by name, or None for those that the host holds.
    :param args: of model and guide.
    :param kwargs: of model and guide.
    :param request: what to draw.
    :param summed: the sites that the guide leaves to be summed out of the model.
    :param nesting: how many dimensions the sites have.
    """

    model: Callable[..., Any]
    guide: Callable[..., Any]
    params: dict[str, Any] | None
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    request: Request
    hardened: bool = True
    whole: bool = True
    weighted: bool = True
    summed: list[str] = field(default_factory=list)
    nesting: int = 0
    rows: Rows = field(default_factory=lambda: Rows({}))
    local: Rows = field(default_factory=lambda: Rows({}))

    host: ClassVar[Host]
    read: ClassVar[Any]
    """The host's module of what a site of a trace is."""

    def prototype(self, key: Any = None) -> Prototype:
        """Runs both programs once and returns what there is; settles how the draws are made.

        :raises ValueError: if the parameters do not fit, or the guide lacks a site.
        """
        self._check_params(key)
        relaxed, guide, model = self._first_run(key)
        latent = {n: s for n, s in guide.items() if is_latent(s) and not is_auxiliary(s)}
        left = [n for n, s in model.items() if is_latent(s) and n not in latent]
        self.summed = [n for n in left if model[n]["infer"].get("enumerate")]
        check_covered([*latent, *self.summed], left)
        observed = self._observed(model)
        sites = {}
        for name, site in (latent | {n: model[n] for n in self.summed} | observed).items():
            plates = {frame.dim: frame.name for frame in self.read.frames(site)}
            law = site["fn"]
            sites[name] = Dims(len(law.batch_shape), plates, len(law.event_shape))
        for name, site in model.items():
            if self.read.is_deterministic(site):
                sized = {f.dim: (f.name, f.size) for f in self.read.frames(site)}
                shape = tuple(self.read.array(site["value"]).shape)
                sites[name] = deterministic_site(shape, sized)
        written = {n: written_relaxed(self.host, s, relaxed) for n, s in latent.items()}
        reason = inexact(relaxed, self.hardened, self.summed)
        self.weighted = reason is None
        if self.request.needs_weights:
            self._check_weighted(reason)
            self.rows = Rows(self._common_plates([*guide.values(), *model.values()]))
            if self.request.correct and self.request.particles > 1 and not self.rows.plates:
                self.local = self.independent_rows(guide, relaxed, key)
        return Prototype(
            sites=sites,
            observed={n: as_numpy(s["value"]) for n, s in observed.items()},
            relaxed=relaxed,
            written={n: fn for n, fn in written.items() if fn is not None},
            discrete=[
                n for n, s in latent.items() if n not in relaxed and is_discrete(self.host, s)
            ],
            hardened=self.hardened,
            reason=reason,
        )

    def draw(self, key: Any = None) -> Draws:
        """Returns one draw, or as many as run at once, of every group that is drawn."""
        guide_key, model_key, predict_key = self._split(key)
        relaxed, guide = self._run_guide(guide_key)
        if self.local.plates:
            picked, log_weight = self.picked(guide, model_key)
            relaxed, guide = self._run_guide(guide_key, picked)
        values = self._values(guide, relaxed, model_key)
        model = self._run_model(values, model_key)
        log_p = self._log_prob_sum(model)
        read = self.read
        drawn = {
            "posterior": posterior(self.host, guide, relaxed, read.array, read.whole)
            | {name: read.value_of(model[name]) for name in self.summed}
            | self._deterministic_values(model),
            "sample_stats": {"log_p": log_p},
        }
        if self.request.correct:
            drawn |= self._weights(guide, model)
            if self.local.plates:
                drawn["rows"]["log_weight"] = log_weight
        if self.weighted:
            log_q = self._log_prob_sum(guide)
            drawn["sample_stats"] |= {"log_q": log_q, "log_weight": log_p - log_q}
        observed = self._observed(model)
        if self.request.log_likelihood:
            likelihoods = {n: read.log_likelihood(s) for n, s in observed.items()}
            drawn["log_likelihood"] = {n: read.array(x) for n, x in likelihoods.items()}
        if self.request.posterior_predictive and observed:
            again = self._run_model(values, predict_key, unobserve=True)
            drawn["posterior_predictive"] = {n: read.value_of(again[n]) for n in observed}
        return drawn

    def draw_weights(self, key: Any = None) -> Draws:
        """Returns the log densities alone of one draw, or of as many as run at once."""
        guide_key, model_key, _ = self._split(key)
        relaxed, guide = self._run_guide(guide_key)
        return self._weights(
            guide, self._run_model(latents(guide, relaxed, self.hardened), model_key)
        )

    def _weights(self, guide: Trace, model: Trace) -> Draws:
        each = {"log_p": model, "log_q": guide}
        return {"rows": {name: self._summed(trace, self.rows) for name, trace in each.items()}}

    def draw_prior(self, key: Any = None) -> Draws:
        """Returns one draw, or as many as run at once, of the model alone."""
        trace = self._run_model({}, key, unobserve=True)
        made: Draws = {"prior": self._deterministic_values(trace), "prior_predictive": {}}
        for name, site in trace.items():
            if site["type"] != "sample" or is_auxiliary(site):
                continue
            if not self.read.is_deterministic(site):
                was_observed = site["infer"].get("was_observed", False)
                group = "prior_predictive" if was_observed else "prior"
                made[group][name] = self.read.value_of(site)
        return made

    def simulated(self, key: Any = None) -> tuple[Trace, Trace]:
        """Returns the latent and the observed sites of the model alone, with the data drawn."""
        trace = self._run_model({}, key, unobserve=True)
        sites = {
            n: s
            for n, s in trace.items()
            if self._is_scored(s) and not is_auxiliary(s) and not s["is_observed"]
        }
        data = {n: s for n, s in sites.items() if s["infer"].get("was_observed", False)}
        return {n: s for n, s in sites.items() if n not in data}, data

    def observations(self, values: dict[str, Any], key: Any = None) -> dict[str, Any]:
        """Returns what the model observes, by site.

        :param values: of all latent sites of the model, as it draws them.
        """
        model = self._run_model(values, key)
        return {n: as_numpy(s["value"]) for n, s in self._observed(model).items()}

    def log_joint(self, values: dict[str, Any], key: Any = None) -> Any:
        """Returns the log density of latent values and data together.

        :param values: of all latent sites of the model, as it draws them.
        """
        return self._log_prob_sum(self._run_model(values, key))

    def _check_weighted(self, reason: str | None) -> None:
        if not self.whole:
            reason = "the programs run on a subsample alone; give them the whole data"
        if reason is not None:
            raise ValueError(
                f"{self.request.needs_weights} needs the weights of the draws: {reason}"
            )

    def _common_plates(self, sites: list[dict[str, Any]]) -> dict[int, tuple[str, int]]:
        """Returns the plates that every site with a density lies in, by dimension."""
        scored = [s for s in sites if self._is_scored(s)]
        each = [{f.dim: (f.name, f.size) for f in self.read.frames(s)}.items() for s in scored]
        return dict(set.intersection(*map(set, each))) if each else {}

    def _is_scored(self, site: dict[str, Any]) -> bool:
        return site["type"] == "sample" and not self.read.is_deterministic(site)

    def _log_prob_sum(self, trace: Trace) -> Any:
        return self._summed(trace, Rows({}))

    def _summed(self, trace: Trace, rows: Rows) -> Any:
        """Returns the sum of the log densities over all sites, for each element of some plates."""
        terms = []
        for name, site in trace.items():
            if self._is_scored(site):
                frames = frozenset(Frame(f.name, f.dim) for f in self.read.frames(site))
                terms.append(Term(name, self.read.log_prob(site), frames, frozenset()))
        if not terms:
            return self.read.array(0.0)
        kept = frozenset(Frame(name, dim) for dim, (name, _) in rows.plates.items())
        return self._spread(lambda more: reduce_to(terms, kept | more, terms[0].value), rows.shape)

    def _values(self, guide: Trace, relaxed: dict[str, Watched], key: Any) -> dict[str, Any]:
        """Returns the values at which the model runs, those that were summed out drawn."""
        values = latents(guide, relaxed, self.hardened)
        return values | self._infer_discrete(values, key) if self.summed else values

    def _observed(self, trace: Trace) -> Trace:
        return {n: s for n, s in trace.items() if self.read.is_observed(s)}

    def _deterministic_values(self, trace: Trace) -> dict[str, Any]:
        fixed = {n: s for n, s in trace.items() if self.read.is_deterministic(s)}
        return {n: self.read.array(s["value"]) for n, s in fixed.items()}

    def _first_run(self, key: Any) -> tuple[dict[str, Watched], Trace, Trace]:
        try:
            relaxed, guide, model = self._both(key)
        except (ValueError, TypeError, RuntimeError, IndexError):
            # A program may take its subsample as an argument and run on nothing else.
            self.whole = False
            relaxed, guide, model = self._both(key)
        relaxed_anyway = any(
            is_latent(s) and written_relaxed(self.host, s, relaxed) is not None
            for s in (*guide.values(), *model.values())
        )
        if relaxed_anyway or not all(site.hardens for site in relaxed.values()):
            self.hardened = False
            relaxed, guide, model = self._both(key)
        both = [s for trace in (guide, model) for s in trace.values() if self._is_scored(s)]
        self.nesting = max((len(s["fn"].batch_shape) for s in both), default=0)
        return relaxed, guide, model

    def _both(self, key: Any = None) -> tuple[dict[str, Watched], Trace, Trace]:
        relaxed, guide = self._run_guide(key)
        return relaxed, guide, self._run_model(latents(guide, relaxed, self.hardened), key)

    # The hooks of a host.

    def _infer_discrete(self, values: dict[str, Any], key: Any) -> dict[str, Any]:
        """Returns draws of the sites that were summed out, from their law given all others."""
        raise NotImplementedError

    def _split(self, key: Any) -> Any:
        """Returns three keys."""
        return key, key, key

    def _check_params(self, key: Any) -> None:
        """Checks that the parameters are those of the programs."""
        raise NotImplementedError

    def _run_guide(
        self, key: Any = None, values: dict[str, Any] | None = None
    ) -> tuple[dict[str, Watched], Trace]:
        """Runs the guide, some sites at given values; returns what is relaxed, and the trace."""
        raise NotImplementedError

    def _run_model(self, values: dict[str, Any], key: Any = None, unobserve: bool = False) -> Trace:
        """Runs the model at values of its latent sites, with the data drawn if it is asked."""
        raise NotImplementedError

    def _spread(self, summed: Callable[[Frames], Any], shape: tuple[int, ...]) -> Any:
        """Returns sums as an array of a shape, for each draw of a vectorised run.

        :param summed: from the plates that a run adds to those that are kept to the sums.
        """
        raise NotImplementedError
