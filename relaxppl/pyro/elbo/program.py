"""Running a model and its guide: once at hard values, then again at other values of some sites.

A later run holds what does not depend on the replaced sites, and recomputes the rest with the noise
of the first run.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pyro.poutine as poutine
import torch
from pyro.distributions.util import scale_and_mask
from pyro.infer.util import is_validation_enabled
from pyro.ops.provenance import detach_provenance
from pyro.poutine.messenger import Messenger
from pyro.poutine.subsample_messenger import _Subsample
from pyro.poutine.util import prune_subsample_sites
from pyro.util import check_model_guide_match, check_site_shape, warn_if_inf, warn_if_nan

from relaxppl.pyro.elbo.exact_kl import integrable, kl_divergence
from relaxppl.pyro.elbo.laws import base_of, soft_log_prob
from relaxppl.pyro.elbo.structure import Names, Record, Site, Term, frames_of, rewound, split

Recompute = Callable[[Site, Any], "torch.Tensor | None"]


class _Replay(Messenger):
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
    """

    model: Callable[..., Any]
    guide: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    max_plate_nesting: float = float("inf")
    exact_kl: bool = False
    shared: dict[str, Any] = field(default_factory=dict)
    sites: dict[str, Site] = field(default_factory=dict)
    terms: list[Term] = field(default_factory=list)
    _values: dict[str, Any] = field(default_factory=dict)
    _value_deps: dict[str, Names] = field(default_factory=dict)
    _integrated: dict[str, Any] = field(default_factory=dict)
    _rewind: dict[str, Any] = field(default_factory=dict)
    guide_trace: Any = None
    model_trace: Any = None

    def run(self) -> None:
        """Runs guide and model once, and fills ``sites`` and ``terms``."""
        record = Record(continuous=self.exact_kl)
        with record, _Replay(self.shared, {}):
            guide_trace = poutine.trace(self.guide).get_trace(*self.args, **self.kwargs)
        with _Replay(self.shared, {}):
            replayed = poutine.replay(self.model, trace=guide_trace)
            model_trace = poutine.trace(replayed).get_trace(*self.args, **self.kwargs)
        if is_validation_enabled():
            check_model_guide_match(model_trace, guide_trace, self.max_plate_nesting)
        self.sites, self._rewind = record.sites, record.rewind
        for trace in (model_trace, guide_trace):
            for name, node in trace.nodes.items():
                if node["type"] == "sample" and not node["is_observed"]:
                    self._values[name], deps = split(node["value"])
                    if trace is guide_trace:
                        self._value_deps[name] = deps & frozenset(self.sites)
                    if isinstance(node["fn"], _Subsample):
                        self.shared[name] = self._values[name]
        self.guide_trace = prune_subsample_sites(guide_trace)
        self.model_trace = prune_subsample_sites(model_trace)
        if self.exact_kl:
            self._integrated = dict(integrable(self.guide_trace, self.model_trace))
        for trace, guide in ((self.model_trace, False), (self.guide_trace, True)):
            for name, node in trace.nodes.items():
                if node["type"] == "sample" and not (guide and name in self._integrated):
                    self.terms.append(self._hard_term(node, guide))

    def _hard_term(self, node: Any, guide: bool) -> Term:
        name = node["name"]
        site = self.sites.get(name) if guide else None
        integrated = name in self._integrated
        if integrated:
            value = scale_and_mask(-self._integrated[name], node["scale"], node["mask"])
        elif site is not None:
            with torch.no_grad():
                log_prob = site.fn.log_prob(site.value)
                value = scale_and_mask(log_prob, node["scale"], node["mask"])
        else:
            log_prob = node["fn"].log_prob(node["value"], *node["args"], **node["kwargs"])
            value = scale_and_mask(log_prob, node["scale"], node["mask"])
        value, deps = split(value)
        if site is not None:
            deps = deps | site.upstream | {name}
        if is_validation_enabled():
            if not guide and not integrated:
                check_site_shape({**node, "log_prob": value}, self.max_plate_nesting)
            total = value.sum()
            warn_if_nan(total, f"log_prob_sum at site '{name}'")
            warn_if_inf(total, f"log_prob_sum at site '{name}'", allow_neginf=True)
        return Term(
            name=name,
            value=-value if guide else value,
            frames=frames_of(node),
            deps=deps & frozenset(self.sites),
            guide=guide,
            held=site is not None,
        )

    def downstream_in_guide(self, names: Names) -> Names:
        """Returns the guide's other sites whose law depends on the discrete sites ``names``."""
        deps = self._value_deps
        return frozenset(n for n in deps if n not in names and deps[n] & names)

    def evaluate(
        self,
        at: dict[str, torch.Tensor],
        recompute: Recompute | None = None,
        keep: Callable[[Term], bool] = lambda term: True,
    ) -> list[Term]:
        """Runs the model, and the guide if any of it is downstream, at other values of some sites.

        :param at: new values of sites that do not depend on each other.
        :param recompute: from a discrete site downstream and its new distribution to its value
            there, or to None to draw it again with the random numbers of the first run. With it
            values count as relaxed.
        :param keep: whether a term of the first run is wanted at the new values.
        :returns: the wanted terms, of those that depend on the sites.
        """
        names = frozenset(at)
        wanted = [term for term in self.terms if term.deps & names and keep(term)]
        if not wanted:
            return []
        moved = names | self.downstream_in_guide(names)
        values = {n: _detached(v) for n, v in self._values.items() if n not in moved}
        values.update(at)
        guide = self.guide_trace
        if moved != names or any(term.guide and term.name not in names for term in wanted):
            again = {name: self._again(name, recompute) for name in moved - names}
            with _Replay(values, again):
                guide = poutine.trace(self.guide).get_trace(*self.args, **self.kwargs)
            values.update({name: guide.nodes[name]["value"] for name in moved - names})
        with _Replay(values, {}):
            model = poutine.trace(self.model).get_trace(*self.args, **self.kwargs)
        return [
            self._term(term, (model, guide), values, moved, recompute is not None)
            for term in wanted
        ]

    def _again(self, name: str, recompute: Recompute | None) -> Callable[[Any], torch.Tensor]:
        site, state = self.sites.get(name), self._rewind[name]

        def value(fn: Any) -> torch.Tensor:
            new = None if site is None or recompute is None else recompute(site, fn)
            if new is not None:
                return new
            with rewound(state):
                return fn() if site is None else fn.sample()

        return value

    def _term(
        self, term: Term, traces: Any, values: dict[str, Any], moved: Names, relaxed: bool
    ) -> Term:
        guide, name = term.guide, term.name
        node = traces[guide].nodes[name]
        if name in self._integrated:
            value = -kl_divergence(traces[1].nodes[name]["fn"], node["fn"])
            value = scale_and_mask(value, node["scale"], node["mask"])
        else:
            value = node["value"] if node["is_observed"] else values[name]
            log_prob = None
            if relaxed and name in moved and name in self.sites:
                log_prob = soft_log_prob(node["fn"], value)
                if log_prob is None:
                    law = type(base_of(node["fn"])).__name__
                    raise NotImplementedError(
                        f"site '{name}' is relaxed, but the {'guide' if guide else 'model'} has a "
                        f"{law} there, which is not defined between the hard values; make it a "
                        "Bernoulli or a OneHotCategorical, or give the guide's site "
                        "infer={'estimator': 'score'}"
                    )
            if log_prob is None:
                log_prob = node["fn"].log_prob(value, *node["args"], **node["kwargs"])
            value = scale_and_mask(log_prob, node["scale"], node["mask"])
        value = detach_provenance(value)
        return replace(term, value=-value if guide else value, frames=frames_of(node))


def _detached(value: Any) -> Any:
    return value.detach() if isinstance(value, torch.Tensor) else value
