"""Running a model and its guide: once at hard values, then again at other values of some sites.

A later run holds what does not depend on the replaced sites, and recomputes the rest with the noise
of the first run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import pyro.poutine as poutine
import torch
from pyro.distributions.util import scale_and_mask
from pyro.infer.util import is_validation_enabled
from pyro.poutine.messenger import Messenger
from pyro.poutine.util import prune_subsample_sites, site_is_subsample
from pyro.util import check_model_guide_match, check_site_shape, warn_if_inf, warn_if_nan

from relaxppl.estimators.jumps import Names, jumps
from relaxppl.estimators.program import AT_HARD_VALUES, Frame, Site, SoftValue, Term
from relaxppl.estimators.summed_out import Factor, Group, contract, is_marked, refusal
from relaxppl.pyro.elbo.batched import TOGETHER, each
from relaxppl.pyro.elbo.dependence import Tracker, handed_over
from relaxppl.pyro.elbo.exact_kl import integrable, kl_divergence, masks_of
from relaxppl.pyro.elbo.kept import unwritten
from relaxppl.pyro.elbo.laws import base_of, extended, law_of, law_type, soft_log_prob
from relaxppl.pyro.elbo.structure import Record, Watch, rewound
from relaxppl.pyro.elbo.summed_out import (
    Summed,
    SummedOut,
    factor_of,
    frames_of,
    groups_of,
    term_of,
)
from relaxppl.pyro.shell import _NOISE


class Replay(Messenger):
    """Puts given values at given sites, and recomputes others by a function of the new law."""

    def __init__(
        self, values: dict[str, Any], recompute: dict[str, Callable[[Any], torch.Tensor]]
    ) -> None:
        super().__init__()
        self.values = values
        self.recompute = recompute

    def _pyro_sample(self, msg: Any) -> None:
        if msg["is_observed"]:
            return
        if msg["name"] in self.values:
            msg["value"] = self.values[msg["name"]]
            msg["done"] = True
        elif msg["name"] in self.recompute:
            msg["value"] = self.recompute[msg["name"]](msg["fn"])
            msg["done"] = True


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
    groups: list[Group] = field(default_factory=list)
    sites: dict[str, Site] = field(default_factory=dict)
    terms: list[Term] = field(default_factory=list)
    _values: dict[str, Any] = field(default_factory=dict)
    _value_deps: dict[str, Names] = field(default_factory=dict)
    _integrated: dict[str, Any] = field(default_factory=dict)
    _noise: dict[Any, torch.Tensor] = field(default_factory=dict)
    _left_guide: Names = frozenset()
    _rewind: dict[str, Any] = field(default_factory=dict)
    guide_trace: Any = None
    model_trace: Any = None
    kept: list[torch.Tensor] = field(default_factory=list)
    """What the program writes to and keeps, as running means; later runs leave it as it is."""

    def run(self) -> None:
        """Runs guide and model once, and fills ``sites`` and ``terms``."""
        with Tracker(self.told) as tracker:
            continuous = self.exact_kl or self.multi_sample
            record, watch = Record(tracker, continuous, self.hold_draws), Watch(tracker)
            with record, Replay(self.shared, {}):
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
        self.groups = groups_of(model_trace, self.summed.found)
        self.sites, self._rewind = record.sites, record.rewind
        discrete = frozenset(self.sites)
        self._value_deps = {name: deps & discrete for name, deps in record.values.items()}
        escaped = {True: record.escaped, False: watch.escaped}
        self._take(guide_trace, model_trace)
        factors = self._fill(tracker, escaped)
        self._merge(factors)

    def _run_model(self, watch: Watch, summing: SummedOut, guide_trace: Any) -> Any:
        """Returns a trace of the model at the guide's values."""
        with watch, Replay(self.shared, {}):
            replayed = poutine.replay(summing(self.model), trace=guide_trace)
            return poutine.trace(replayed).get_trace(*self.args, **self.kwargs)

    def _take(self, guide_trace: Any, model_trace: Any) -> None:
        """Keeps the traces and the values in them."""
        if is_validation_enabled():
            check_model_guide_match(model_trace, guide_trace, self._nesting)
        for trace in (model_trace, guide_trace):
            for name, node in trace.nodes.items():
                if node["type"] == "sample" and not node["is_observed"]:
                    self._values[name] = node["value"]
                    if site_is_subsample(node):
                        self.shared[name] = node["value"]
        self.guide_trace = prune_subsample_sites(guide_trace)
        self.model_trace = prune_subsample_sites(model_trace)

    @property
    def _nesting(self) -> float:
        """How many dimensions from the right are batch dimensions, for the host's checks."""
        return -1 - self.summed.first if self.summed.found else self.max_plate_nesting

    def _fill(self, tracker: Tracker, escaped: dict[bool, dict[str, Names]]) -> dict[str, Factor]:
        """Makes a term of each site; returns the factors of those that are to make one together."""
        grouped = {n for group in self.groups for n in group.sites}
        variables = {v.name for group in self.groups for v in group.variables}
        factors: dict[str, Factor] = {}
        if self.exact_kl:

            def deps(name: str, value: Any) -> Names:
                # Where values have left torch, the site itself may be reached at some only.
                left = escaped[False][name] | escaped[True][name]
                return tracker.of(value) | (left and {name})

            with tracker:
                self._integrated = dict(integrable(self.guide_trace, self.model_trace, deps))
            self._factorise()
        discrete = frozenset(self.sites)
        for trace, guide in ((self.model_trace, False), (self.guide_trace, True)):
            for name, node in trace.nodes.items():
                for integrated in self._forms(name, guide) if node["type"] == "sample" else ():
                    site = self.sites.get(name) if guide else None
                    weights = masks_of(node["fn"]), node["scale"], node["mask"]
                    left = escaped[guide][name]
                    if site is not None and not integrated:
                        # Its law was watched when it was drawn, and to watch takes time.
                        value = self._hard_value(node, guide, integrated)
                        found = tracker.of(weights) | left
                    else:
                        with tracker, tracker.inside_law() as decided:
                            if not guide and name in grouped:
                                log_prob = partial(log_prob_of, node)
                                factors[name] = factor_of(node, name in variables, log_prob)
                                value = factors[name].value
                            else:
                                value = self._hard_value(node, guide, integrated)
                        found = tracker.of(value) | decided[0] | left
                    self._check(node, value, guide, integrated)
                    if not guide:
                        self._left_guide |= handed_over(found)
                    if site is not None:
                        found = found | site.upstream | {name}
                    smooth = found
                    if name in self.sites:
                        # At a relaxed value its extension stands for the host's log mass.
                        fn = node["fn"]
                        with tracker:
                            logits = None if law_type(fn) is None else base_of(fn).logits
                        smooth = tracker.of(logits, weights) | left
                    self.terms.append(
                        Term(
                            name=name,
                            value=value,
                            frames=frames_of(node),
                            deps=found & discrete,
                            guide=guide,
                            held=site is not None and not self.multi_sample,
                            jumps=jumps(smooth) & discrete,
                            integrated=integrated,
                            latent=bool(found)
                            or (not node["is_observed"] and (guide or name not in variables)),
                        )
                    )

        return factors

    def _merge(self, factors: dict[str, Factor]) -> None:
        """Puts one term in the place of those of sites that see what is summed out together."""
        terms = {term.name: term for term in self.terms if term.name in factors and not term.guide}
        if terms:
            self.terms = [t for t in self.terms if t.guide or t.name not in terms]
        for group in self.groups:
            mine = [terms[name] for name in group.sites]
            self.terms.append(
                replace(
                    terms[group.outermost.name],
                    value=contract(group, [factors[name] for name in group.sites]),
                    deps=frozenset().union(*(term.deps for term in mine)),
                    jumps=frozenset().union(*(term.jumps for term in mine)),
                    latent=any(term.latent for term in mine),
                )
            )

    def _factorise(self) -> None:
        """Gives the integrated discrete sites their factors; those that have none are sampled."""
        if self.factor is None:
            return
        for name in self.sites.keys() & self._integrated.keys():
            laws = {law_type(t.nodes[name]["fn"]) for t in (self.model_trace, self.guide_trace)}
            factor = self.factor(name) if len(laws) == 1 and None not in laws else None
            if factor is None:
                del self._integrated[name]
            else:
                self.factors[name] = factor

    def _forms(self, name: str, guide: bool) -> tuple[bool, ...]:
        """Returns for each term that a site has on one side whether it is its KL."""
        if name not in self._integrated:
            return (False,)
        sampled = (False,) if name in self.factors else ()
        return sampled if guide else (True, *sampled)

    def _weighted(self, name: str, value: torch.Tensor, integrated: bool) -> torch.Tensor:
        if name not in self.factors:
            return value
        factor = self.factors[name]
        return (factor if integrated else 1.0 - factor) * value

    def own(self, name: str, encoded: torch.Tensor) -> torch.Tensor:
        """Returns log p - log q of a site alone at an encoded value, hard or relaxed."""
        found = []
        for trace in (self.model_trace, self.guide_trace):
            node = trace.nodes[name]
            log_prob = extended(node["fn"], encoded)
            assert log_prob is not None  # or the site would have no factor
            found.append(scale_and_mask(log_prob, node["scale"], node["mask"]))
        return found[0] - found[1]

    def _hard_value(self, node: Any, guide: bool, integrated: bool) -> torch.Tensor:
        name = node["name"]
        site = self.sites.get(name) if guide else None
        if integrated:
            value = scale_and_mask(-self._integrated[name], node["scale"], node["mask"])
        elif site is not None:
            log_prob = site.fn.log_prob(site.value)
            if not self.multi_sample:
                with torch._C.DisableTorchFunction():  # No step of the program's.
                    log_prob = log_prob.detach()
            value = scale_and_mask(log_prob, node["scale"], node["mask"])
        else:
            value = scale_and_mask(log_prob_of(node), node["scale"], node["mask"])
        return self._weighted(name, -value if guide else value, integrated)

    def _check(self, node: Any, value: torch.Tensor, guide: bool, integrated: bool) -> None:
        """Makes the host's checks of the log density of a site."""
        if is_validation_enabled():
            if not guide and not integrated:
                check_site_shape({**node, "log_prob": value}, self._nesting)
            total = -value.sum() if guide else value.sum()
            warn_if_nan(total, f"log_prob_sum at site '{node['name']}'")
            warn_if_inf(total, f"log_prob_sum at site '{node['name']}'", allow_neginf=True)

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

    @contextmanager
    def explained(self, level: tuple[str, ...]) -> Iterator[None]:
        """Explains what fails while the program runs at relaxed values of some sites."""
        try:
            yield
        except (IndexError, TypeError, ValueError, RuntimeError) as error:
            error.add_note(
                "This was raised while the program ran with relaxed values at "
                f"{', '.join(map(repr, level))}. A program that needs a site's hard values can "
                f"choose another estimator for it: {AT_HARD_VALUES}."
            )
            raise

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
            self._term(term, traces, moved - held, soft_value is not None)
            for term in self._reached(traces, names)
            if term.deps & names and keep(term)
        ]

    def everything(self, at: dict[str, torch.Tensor]) -> list[Term]:
        """Runs guide and model at other values of some sites, and returns every term there is."""
        names = frozenset(at)
        moved = names | self.downstream(names)
        traces = self._traces(at, moved, None, True, set())
        return [self._term(term, traces, moved, False) for term in self._reached(traces, names)]

    def _reached(self, traces: tuple[Any, Any], names: Names) -> Iterator[Term]:
        """Yields the terms of a later run, as they were in the first if they were there."""
        first: dict[tuple[bool, str], list[Term]] = {}
        merged = {n for g in self.groups for n in g.sites if n != g.outermost.name}
        for term in self.terms:
            first.setdefault((term.guide, term.name), []).append(term)
        for guide, trace in enumerate(traces):
            for name, node in trace.nodes.items():
                if node["type"] != "sample" or site_is_subsample(node):
                    continue
                if not guide and name in merged:
                    continue
                known = first.get((bool(guide), name))
                if known is not None:
                    yield from known
                elif not guide and is_marked(node, self.guide_trace.nodes):
                    raise refusal(name, "the model reaches it at some values of the guide only")
                elif not (guide and name in self._integrated):
                    yield Term(name, _ZERO, frozenset(), names, bool(guide), jumps=names)

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
            with unwritten(self.kept), Replay(values, again):
                guide = poutine.trace(self.guide).get_trace(*self.args, **self.kwargs)
            nodes = guide.nodes.items()
            values.update(
                {n: s["value"] for n, s in nodes if s["type"] == "sample" and n not in at}
            )
        elif at:
            guide = guide.copy()
            for name, value in at.items():
                guide.nodes[name] = {**guide.nodes[name], "value": value}
        with unwritten(self.kept), Replay(values, {}):
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

    def _term(self, term: Term, traces: Any, moved: Names, relaxed: bool) -> Term:
        guide, name = term.guide, term.name
        node = traces[guide].nodes[name]
        group = None if guide else next((g for g in self.groups if g.outermost.name == name), None)
        if group is not None:
            again = partial(self._log_prob_again, guide=False, moved=moved, relaxed=relaxed)
            return replace(term, value=term_of(group, traces[False], again))
        if term.integrated:
            value = -kl_divergence(traces[1].nodes[name]["fn"], node["fn"])
        else:
            value = self._log_prob_again(node, guide, moved, relaxed)
        value = scale_and_mask(value, node["scale"], node["mask"])
        value = self._weighted(name, -value if guide else value, term.integrated)
        return replace(term, value=value, frames=frames_of(node))

    def _log_prob_again(self, node: Any, guide: bool, moved: Names, relaxed: bool) -> torch.Tensor:
        """Returns the log density of a site in a later run."""
        name = node["name"]
        if not (relaxed and name in moved and name in self.sites):
            return log_prob_of(node)
        log_prob = soft_log_prob(node["fn"], node["value"])
        if log_prob is None:
            law = type(base_of(node["fn"])).__name__
            raise NotImplementedError(
                f"site '{name}' is relaxed, but the {'guide' if guide else 'model'} has a "
                f"{law} there, which is not defined between the hard values; make it a "
                "Bernoulli or a OneHotCategorical, or give the guide's site "
                "infer={'estimator': 'score'}"
            )
        return log_prob


def log_prob_of(node: Any) -> torch.Tensor:
    """Returns the log density of a site, neither masked nor scaled."""
    return node["fn"].log_prob(node["value"], *node["args"], **node["kwargs"])


_ZERO = torch.zeros(())


def _detached(value: Any) -> Any:
    return value.detach() if isinstance(value, torch.Tensor) else value
