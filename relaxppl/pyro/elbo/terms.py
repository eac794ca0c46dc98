"""The terms of log p - log q: of the first run at the values drawn, of a later one at others."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import torch
from pyro.distributions.util import scale_and_mask
from pyro.infer.util import is_validation_enabled
from pyro.poutine.util import site_is_subsample
from pyro.util import check_site_shape, warn_if_inf, warn_if_nan

from relaxppl.estimators.jumps import NONE, Names, by_jumps, jumps
from relaxppl.estimators.plates import Lost, left, lost
from relaxppl.estimators.program import Term
from relaxppl.estimators.site import Site
from relaxppl.estimators.summed_out import Factor, Group, contract, is_marked, refusal
from relaxppl.estimators.ways_out import AT_THE_DRAW
from relaxppl.pyro.elbo.dependence import Tracker, handed_over
from relaxppl.pyro.elbo.exact_kl import integrable, kl_divergence, masks_of
from relaxppl.pyro.elbo.laws import base_of, law_type, soft_log_prob
from relaxppl.pyro.elbo.summed_out import factor_of, frames_of, term_of

_ZERO = torch.zeros(())


@dataclass
class Terms:
    """Makes the terms of a model and its guide from the traces of their runs.

    :param guide_trace: of the guide's first run.
    :param model_trace: of the model's.
    :param sites: the guide's discrete sites.
    :param groups: the sites of the model that are summed out, each with those that see it.
    :param multi_sample: whether log q of a discrete site is not stopped.
    :param nesting: how many dimensions from the right are batch dimensions, for the host's checks.
    :param escaped: for the guide (True) and the model, by site, the names of the sites on which it
        depends by values that had left torch.
    :param value_deps: by latent site of the guide what its value depends on.
    """

    guide_trace: Any
    model_trace: Any
    sites: dict[str, Site]
    groups: list[Group]
    multi_sample: bool
    nesting: float
    escaped: dict[bool, dict[str, Names]]
    value_deps: dict[str, Names]
    all: list[Term] = field(default_factory=list)
    """The terms of the first run."""
    integrated: dict[str, Any] = field(default_factory=dict)
    """The KL of the sites whose two terms are one."""
    factors: dict[str, torch.Tensor] = field(default_factory=dict)
    """Of those of them that are sampled in part, how much of the KL is not."""
    left_guide: Names = NONE
    """The sites of which the guide left the model more than their values."""

    def integrate(
        self, tracker: Tracker, factor: Callable[[str], torch.Tensor | None] | None
    ) -> None:
        """Finds the sites whose two terms are one, their KL.

        :param tracker: knows what the traces depend on.
        :param factor: gives the factor of a discrete site's exact KL, the rest of which is sampled,
            or None where it has none; None integrates it all.
        """

        def deps(name: str, value: Any) -> Names:
            # Where values have left torch, the site itself may be reached at some only.
            left = self.escaped[False][name] | self.escaped[True][name]
            return tracker.of(value) | (left and {name})

        with tracker:
            self.integrated = dict(integrable(self.guide_trace, self.model_trace, deps))
        if factor is None:
            return
        for name in self.sites.keys() & self.integrated.keys():
            laws = {law_type(t.nodes[name]["fn"]) for t in (self.model_trace, self.guide_trace)}
            found = factor(name) if len(laws) == 1 and None not in laws else None
            if found is None:
                del self.integrated[name]
            else:
                self.factors[name] = found

    def make(self, tracker: Tracker) -> None:
        """Makes the terms at the values drawn.

        :param tracker: knows what the traces depend on.
        """
        self._merge(self._fill(tracker))
        between = self._lost()
        if between:
            self.all = [self._narrowed(term, between) for term in self.all]

    def _lost(self) -> Lost:
        """Returns the plates that dependences leave by way of other latent sites."""
        laws = dict(self.value_deps)
        frames = {name: frames_of(self.guide_trace.nodes[name]) for name in laws}
        elsewhere = {n for group in self.groups for n in group.sites} | set(self.guide_trace.nodes)
        for term in (t for t in self.all if t.name not in elsewhere):
            # Sites of the model alone are drawn too.
            if not self.model_trace.nodes[term.name]["is_observed"]:
                laws[term.name], frames[term.name] = term.deps, term.frames
        return lost(self.sites, frames, laws)

    def _narrowed(self, term: Term, between: Lost) -> Term:
        """Returns a term that knows which plates its dependences leave."""
        own = {term.name} if term.guide and not term.integrated else frozenset()
        return replace(term, left=left(between, term.deps - own, self.sites))

    def _fill(self, tracker: Tracker) -> dict[str, Factor]:
        """Makes a term of each site; returns the factors of those that are to make one together."""
        grouped = {n for group in self.groups for n in group.sites}
        variables = {v.name for group in self.groups for v in group.variables}
        factors: dict[str, Factor] = {}
        discrete = frozenset(self.sites)
        for trace, guide in ((self.model_trace, False), (self.guide_trace, True)):
            for name, node in trace.nodes.items():
                for integrated in self._forms(name, guide) if node["type"] == "sample" else ():
                    site = self.sites.get(name) if guide else None
                    weights = masks_of(node["fn"]), node["scale"], node["mask"]
                    gone = self.escaped[guide][name]
                    if site is not None and not integrated:
                        # Its law was watched when it was drawn, and to watch takes time.
                        value = self._hard_value(node, guide, integrated)
                        found = tracker.of(weights) | gone
                    else:
                        with tracker, tracker.inside_law() as decided:
                            if not guide and name in grouped:
                                log_prob = partial(log_prob_of, node)
                                factors[name] = factor_of(node, name in variables, log_prob)
                                value = factors[name].value
                            else:
                                value = self._hard_value(node, guide, integrated)
                        found = tracker.of(value) | decided[0] | gone
                    self._check(node, value, guide, integrated)
                    if not guide:
                        self.left_guide |= handed_over(found)
                    if site is not None:
                        found = found | site.upstream | {name}
                    smooth = found
                    traces = (self.model_trace, self.guide_trace) if integrated else (trace,)
                    laws = [t.nodes[name]["fn"] for t in traces if name in self.sites]
                    if any(law_type(fn) is None for fn in laws):
                        # Where the site itself is relaxed, such a law is refused.
                        smooth = found - by_jumps(frozenset({name}))
                    elif laws:
                        # At a relaxed value its extension stands for the host's log mass.
                        with tracker:
                            logits = [base_of(fn).logits for fn in laws]
                        drawn = None if integrated else node["value"]
                        smooth = tracker.of(logits, drawn, weights) | gone
                    self.all.append(
                        Term(
                            name=name,
                            value=value,
                            frames=frames_of(node),
                            deps=found & discrete,
                            guide=guide,
                            jumps=jumps(smooth) & discrete,
                            integrated=integrated,
                            latent=bool(found)
                            or (not node["is_observed"] and (guide or name not in variables)),
                        )
                    )

        return factors

    def _merge(self, factors: dict[str, Factor]) -> None:
        """Puts one term in the place of those of sites that see what is summed out together."""
        terms = {term.name: term for term in self.all if term.name in factors and not term.guide}
        if terms:
            self.all = [t for t in self.all if t.guide or t.name not in terms]
        for group in self.groups:
            mine = [terms[name] for name in group.sites]
            self.all.append(
                replace(
                    terms[group.outermost.name],
                    value=contract(group, [factors[name] for name in group.sites]),
                    deps=frozenset().union(*(term.deps for term in mine)),
                    jumps=frozenset().union(*(term.jumps for term in mine)),
                    latent=any(term.latent for term in mine),
                )
            )

    def _forms(self, name: str, guide: bool) -> tuple[bool, ...]:
        """Returns for each term that a site has on one side whether it is its KL."""
        if name not in self.integrated:
            return (False,)
        sampled = (False,) if name in self.factors else ()
        return sampled if guide else (True, *sampled)

    def _weighted(self, name: str, value: torch.Tensor, integrated: bool) -> torch.Tensor:
        if name not in self.factors:
            return value
        factor = self.factors[name]
        return (factor if integrated else 1.0 - factor) * value

    def _hard_value(self, node: Any, guide: bool, integrated: bool) -> torch.Tensor:
        name = node["name"]
        site = self.sites.get(name) if guide else None
        if integrated:
            value = scale_and_mask(-self.integrated[name], node["scale"], node["mask"])
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
                check_site_shape({**node, "log_prob": value}, self.nesting)
            total = -value.sum() if guide else value.sum()
            warn_if_nan(total, f"log_prob_sum at site '{node['name']}'")
            warn_if_inf(total, f"log_prob_sum at site '{node['name']}'", allow_neginf=True)

    def reached(self, traces: tuple[Any, Any], names: Names) -> Iterator[Term]:
        """Yields the terms of a later run, as they were in the first if they were there."""
        first: dict[tuple[bool, str], list[Term]] = {}
        merged = {n for g in self.groups for n in g.sites if n != g.outermost.name}
        for term in self.all:
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
                elif not (guide and name in self.integrated):
                    yield Term(name, _ZERO, frozenset(), names, bool(guide), jumps=names)

    def again(self, term: Term, traces: Any, moved: Names, relaxed: bool) -> Term:
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
                f"Bernoulli or a OneHotCategorical, or give the guide's site {AT_THE_DRAW}"
            )
        return log_prob


def log_prob_of(node: Any) -> torch.Tensor:
    """Returns the log density of a site, neither masked nor scaled."""
    return node["fn"].log_prob(node["value"], *node["args"], **node["kwargs"])
