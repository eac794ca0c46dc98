"""Running a model and its guide: once at hard values, then again at other values of some sites.

A later run holds what does not depend on the replaced sites, and recomputes the rest with the noise
of the first run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

import pyro.poutine as poutine
import torch
from pyro.distributions.util import scale_and_mask
from pyro.infer.util import is_validation_enabled
from pyro.poutine.util import prune_subsample_sites, site_is_subsample
from pyro.util import check_model_guide_match

from relaxppl.common import program as common
from relaxppl.estimators.jumps import Names
from relaxppl.estimators.program import SoftValue, Term
from relaxppl.estimators.site import Frame, Site
from relaxppl.estimators.ways_out import AT_HARD_VALUES
from relaxppl.pyro.elbo.batched import TOGETHER, each
from relaxppl.pyro.elbo.dependence import Tracker
from relaxppl.pyro.elbo.kept import unwritten
from relaxppl.pyro.elbo.laws import extended, law_of
from relaxppl.pyro.elbo.replay import Replay
from relaxppl.pyro.elbo.structure import Record, Watch
from relaxppl.pyro.elbo.summed_out import Summed, SummedOut, groups_of
from relaxppl.pyro.elbo.terms import Terms
from relaxppl.pyro.random_state import rewound
from relaxppl.pyro.shell import _NOISE


@dataclass
class Program:
    """A model and a guide with their arguments, evaluated at hard and at other values.

    :param model: the model.
    :param guide: the guide.
    :param args: positional arguments of both.
    :param kwargs: keyword arguments of both.
    :param max_plate_nesting: the host's bound, for its shape checks.
    :param exact_kl: whether to integrate the KL of a site's two laws where that is exact.
    :param shared: values of plate subsamples to use again, by plate.
    :param factor: gives the factor of a discrete site's exact KL, the rest of which is sampled, or
        None where it has none; None integrates it all.
    :param told: warnings that were given already, of values that leave torch.
    :param multi_sample: whether the bound is one of all draws together: then log q of a discrete
        site is not stopped, and what depends on continuous sites is told from what does not.
    :param hold_draws: whether the guide's reparameterised draws carry no gradient.
    :param summed: what is summed out of the model, as far as earlier runs have shown.
    :param batch: how many values of sites :meth:`each` computes at a time; None leaves it to it.
    """

    model: Callable[..., Any]
    guide: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    max_plate_nesting: float = float("inf")
    exact_kl: bool = False
    shared: dict[str, Any] = field(default_factory=dict)
    told: set[str] = field(default_factory=set)
    factor: Callable[[str], torch.Tensor] | None = None
    factors: dict[str, torch.Tensor] = field(default_factory=dict)
    multi_sample: bool = False
    hold_draws: bool = False
    summed: Summed = field(default_factory=Summed)
    batch: int | None = None
    sites: dict[str, Site] = field(default_factory=dict)
    terms: list[Term] = field(default_factory=list)
    _values: dict[str, Any] = field(default_factory=dict)
    _value_deps: dict[str, Names] = field(default_factory=dict)
    _noise: dict[Any, torch.Tensor] = field(default_factory=dict)
    _left_guide: Names = frozenset()
    _rewind: dict[str, Any] = field(default_factory=dict)
    _states: Any = None
    _made: Any = None
    guide_trace: Any = None
    model_trace: Any = None
    kept: list[torch.Tensor] = field(default_factory=list)
    """What the program writes to and keeps, as running means; later runs leave it as it is."""

    def run(self) -> None:
        """Runs guide and model once, and fills ``sites`` and ``terms``."""
        with Tracker(self.told) as tracker:
            continuous = self.exact_kl or self.multi_sample
            record = Record(tracker, continuous, self.hold_draws)
            watch = Watch(tracker, record.sites)
            with record, Replay(self.shared):
                guide_trace = poutine.trace(self.guide).get_trace(*self.args, **self.kwargs)
            self._left_guide = tracker.escaped
            tracker.hand_over()
            seen = guide_trace.copy()
            for name, site in record.sites.items():
                value = tracker.copy(site.value, record.values[name])
                seen.nodes[name] = {**seen.nodes[name], "value": value}
            summing = SummedOut(guide_trace.nodes, self.summed)
            model_trace = self._run_model(watch, summing, seen)
            if summing.drawn or (self.summed.found and not self.summed.has_room(guide_trace)):
                # Where their values lie is known once all plates are.
                self.summed.first = 0
                with unwritten(tracker.kept()):
                    if not summing.drawn:
                        model_trace = self._run_model(watch, summing, seen)
                    self.summed.make_room(model_trace, guide_trace)
                    model_trace = self._run_model(watch, summing, seen)
                self.summed.check(model_trace)
        self.kept = tracker.kept()
        self.sites, self._rewind = record.sites, record.rewind
        self._states = record.noise, watch.noise
        discrete = frozenset(self.sites)
        self._value_deps = {name: deps & discrete for name, deps in record.values.items()}
        self._take(guide_trace, model_trace)
        groups = groups_of(model_trace, self.summed.found)
        escaped = {True: record.escaped, False: watch.escaped}
        made = Terms(
            *(self.guide_trace, self.model_trace, self.sites, groups),
            *(self.multi_sample, self._nesting, escaped, self._value_deps),
        )
        if self.exact_kl:
            made.integrate(tracker, self.factor)
        made.make(tracker)
        self._left_guide |= made.left_guide
        self.terms, self.factors, self._made = made.all, made.factors, made

    def _run_model(self, watch: Watch, summing: SummedOut, guide_trace: Any) -> Any:
        """Returns a trace of the model at the guide's values."""
        with watch, Replay(self.shared):
            replayed = poutine.replay(summing(self.model), trace=guide_trace)
            return poutine.trace(replayed).get_trace(*self.args, **self.kwargs)

    def _take(self, guide_trace: Any, model_trace: Any) -> None:
        """Keeps the traces and the values in them."""
        if is_validation_enabled():
            check_model_guide_match(model_trace, guide_trace, self._nesting)
        for trace in (model_trace, guide_trace):
            for name, node in trace.nodes.items():
                if node["type"] == "sample" and not node["is_observed"]:
                    if site_is_subsample(node):
                        self.shared[name] = node["value"]
                    elif name not in guide_trace and name not in self.summed.found:
                        continue  # Its law may change: it is drawn again, by the same noise.
                    self._values[name] = node["value"]
        self.guide_trace = prune_subsample_sites(guide_trace)
        self.model_trace = prune_subsample_sites(model_trace)

    @property
    def _nesting(self) -> float:
        """How many dimensions from the right are batch dimensions, for the host's checks."""
        return -1 - self.summed.first if self.summed.found else self.max_plate_nesting

    def log_ratio(self, name: str, encoded: torch.Tensor) -> torch.Tensor:
        """Returns log p - log q of a site alone at an encoded value, hard or relaxed."""
        found = []
        for trace in (self.model_trace, self.guide_trace):
            node = trace.nodes[name]
            log_prob = extended(node["fn"], encoded)
            assert log_prob is not None  # or the site would have no factor
            found.append(scale_and_mask(log_prob, node["scale"], node["mask"]))
        return found[0] - found[1]

    def plate_scale(self, frame: Frame) -> float:
        """Returns what terms are multiplied by for the subsample of a plate that they lie in."""
        for trace in (self.guide_trace, self.model_trace):
            for node in trace.nodes.values():
                for f in node.get("cond_indep_stack", ()):
                    if f.name == frame.name and f.full_size is not None:
                        return float(f.full_size) / float(f.size)
        return 1.0

    def downstream(self, names: Names) -> Names:
        """Returns the guide's other sites whose law depends on the discrete sites ``names``."""
        deps = self._value_deps
        return frozenset(n for n in deps if n not in names and deps[n] & names)

    def noise(self, kind: str, shape: tuple[int, ...], site: Site, use: int) -> torch.Tensor:
        """Returns standard noise of a law."""
        key = site.name, use, kind, tuple(shape)
        if key in self._noise:
            return self._noise[key]
        noise = _NOISE[kind](torch.Size(shape), site.parameters.detach())
        if self.factors:  # They see the estimators at work twice.
            self._noise[key] = noise
        return noise

    def each(
        self,
        compute: Callable[[dict[str, torch.Tensor]], torch.Tensor],
        values: dict[str, torch.Tensor],
    ) -> torch.Tensor:
        """Returns what a function that evaluates the program makes of each of several values."""
        return each(compute, values, self.batch or TOGETHER)

    def explained(self, level: tuple[str, ...]) -> AbstractContextManager[None]:
        """Explains what fails while the program runs at relaxed values of some sites."""
        return common.explained(
            (IndexError, TypeError, ValueError, RuntimeError),
            f"This was raised while the program ran with relaxed values at "
            f"{', '.join(map(repr, level))}. A program that needs a site's hard values can "
            f"choose another estimator for it: {AT_HARD_VALUES}.",
        )

    def evaluate(
        self,
        at: Mapping[str, torch.Tensor],
        soft_value: SoftValue | None = None,
        keep: Callable[[Term], bool] = lambda term: True,
    ) -> list[Term]:
        """Runs the model, and the guide if any of it is downstream, at other values of some sites.

        :param at: new values of sites.
        :param soft_value: gives the discrete sites downstream their values; one to which it gives
            None keeps its own. Without it they are drawn again, with the random numbers of the
            first run, and nothing is differentiated.
        :param keep: whether a term of the first run is wanted at the new values.
        :returns: the wanted terms, of those that depend on the sites.
        """
        if soft_value is None and torch.is_grad_enabled():
            with torch.no_grad():
                return self.evaluate(at, None, keep)
        names = frozenset(at)
        wanted = [term for term in self.terms if term.deps & names]
        if not any(keep(term) for term in wanted):
            return []
        moved = names | self.downstream(names)
        # Where a value of these sites left torch other sites may be reached at other values.
        anew = moved != names or bool(self._left_guide & names)
        # By a scale or a mask a term of the guide depends on sites that its value does not.
        guides = [term for term in wanted if term.guide and keep(term)]
        anew = anew or any(term.deps & names - {term.name} for term in guides)
        held: set[str] = set()
        traces = self._traces(at, moved, soft_value, anew, held)
        return [
            self._made.again(term, traces, moved - held, soft_value is not None)
            for term in self._made.reached(traces, names)
            if term.deps & names and keep(term)
        ]

    def everything(self, at: dict[str, torch.Tensor]) -> list[Term]:
        """Runs guide and model at other values of some sites, and returns every term there is."""
        names = frozenset(at)
        moved = names | self.downstream(names)
        traces = self._traces(at, moved, None, True, set())
        return [
            self._made.again(term, traces, moved, False)
            for term in self._made.reached(traces, names)
        ]

    def _traces(
        self,
        at: Mapping[str, torch.Tensor],
        moved: Names,
        soft_value: SoftValue | None,
        with_guide: bool,
        held: set[str],
    ) -> tuple[Any, Any]:
        """Returns the traces of the model and of the guide at other values of some sites."""
        values = {n: _detached(v) for n, v in self._values.items() if n not in moved}
        values.update(at)
        guide = self.guide_trace
        if with_guide:
            again = {name: self._again(name, soft_value, held) for name in moved - at.keys()}
            with unwritten(self.kept), Replay(values, again, self._states[0]):
                guide = poutine.trace(self.guide).get_trace(*self.args, **self.kwargs)
            nodes = guide.nodes.items()
            values.update(
                {n: s["value"] for n, s in nodes if s["type"] == "sample" and n not in at}
            )
        elif at:
            guide = guide.copy()
            for name, value in at.items():
                guide.nodes[name] = {**guide.nodes[name], "value": value}
        with unwritten(self.kept), Replay(values, noise=self._states[1]):
            model = poutine.trace(self.model).get_trace(*self.args, **self.kwargs)
        return model, guide

    def _again(
        self, name: str, soft_value: SoftValue | None, held: set[str]
    ) -> Callable[[Any], torch.Tensor]:
        site, state = self.sites.get(name), self._rewind[name]

        def value(fn: Any) -> torch.Tensor:
            if site is not None and soft_value is not None:
                new = soft_value(name, law_of(fn))
                if new is None:
                    held.add(name)
                    return site.value
                return new
            with rewound(state):
                return fn() if site is None else fn.sample()

        return value


def _detached(value: Any) -> Any:
    return value.detach() if isinstance(value, torch.Tensor) else value
