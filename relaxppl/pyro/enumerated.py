"""The negative ELBO with a guide's discrete sites summed over all their values."""

from __future__ import annotations

from typing import Any

import pyro.infer
import pyro.poutine as poutine
import torch
from pyro.poutine.util import prune_subsample_sites

from relaxppl.common import enumerated
from relaxppl.estimators.program import Term, reduce_to
from relaxppl.pyro.elbo.laws import unmasked
from relaxppl.pyro.elbo.program import Program
from relaxppl.pyro.elbo.replay import Replay
from relaxppl.pyro.elbo.summed_out import SummedOut, frames_of, groups_of, term_of
from relaxppl.pyro.elbo.terms import log_prob_of
from relaxppl.pyro.random_state import rng_state, set_rng_state
from relaxppl.pyro.sites import SITES


class Inspected(enumerated.Inspected):
    """A guide's discrete sites, and what depends on what, from one run."""

    def __init__(self, model: Any, guide: Any, args: Any, kwargs: Any) -> None:
        with torch.no_grad():
            # Another mask or a plate in a plate is no matter of shapes here.
            program = Program(model, guide, args, kwargs)
            program.run()
        self.sites, self.summed = program.sites, program.summed
        self.candidates = [site.candidate for site in self.sites.values()]
        self.variables = {n: SITES.variable_of(s.fn, s.frames) for n, s in self.sites.items()}
        deps = {(term.name, term.guide): term.deps for term in program.terms}
        latent = {
            n
            for n, node in program.guide_trace.nodes.items()
            if node["type"] == "sample" and not node["is_observed"]
        }
        subsampled = any(
            frame.full_size is not None and frame.full_size != frame.size
            for trace in (program.model_trace, program.guide_trace)
            for node in trace.nodes.values()
            if node["type"] == "sample"
            for frame in node["cond_indep_stack"]
        )
        self.random = bool(latent - self.sites.keys()) or subsampled
        self.model_latents = {
            n
            for n, node in program.model_trace.nodes.items()
            if node["type"] == "sample" and not node["is_observed"]
        }
        self.coupled = [
            (name, term.name)
            for term in program.terms
            for name in term.deps
            if not self.sites[name].frames <= term.frames
        ]
        self.upstream = {n: s.upstream for n, s in self.sites.items()}
        others = latent - self.sites.keys()
        self.dependent = sorted(n for n in others if deps.get((n, True)))
        shared = {site.frames for site in self.sites.values()}
        self.by_plate = len(shared) == 1 and any(shared) and not self.coupled


class CannotEnumerateError(Exception):
    """The sites that one run found are not all that there is to sum over."""


class EnumeratedELBO(enumerated.Enumerated, pyro.infer.ELBO):
    def loss_and_grads(self, model: Any, guide: Any, *args: Any, **kwargs: Any) -> float:
        """Returns the loss, and adds its gradient to the parameters' ``grad``.

        :raises CannotEnumerateError: if other values of the sites lead to other sites, or change
            what lies outside of their plates.
        """
        inspected = self.inspected
        values = enumerated.assignments(inspected.variables, inspected.by_plate)
        total = len(next(iter(values.values())))
        state = rng_state()
        loss, outside = 0.0, None
        for i in range(total):
            # All other draws are the same for every value of the sites.
            set_rng_state(state)
            at = {
                name: torch.as_tensor(x[i]).to(inspected.sites[name].value)
                for name, x in values.items()
            }
            value, rest = self._at(at, model, guide, args, kwargs)
            if outside is None:
                outside = rest.detach()
                value = value + rest
            elif not torch.allclose(rest, outside, rtol=1e-4, equal_nan=True):
                raise CannotEnumerateError("a term outside of the sites' plates sees their values")
            if value.requires_grad:
                (-value).backward()
            loss -= float(value.detach())
        return loss

    def _get_trace(self, model: Any, guide: Any, args: Any, kwargs: Any) -> Any:
        guide_trace = poutine.trace(guide).get_trace(*args, **kwargs)
        summing = SummedOut(guide_trace.nodes, self.inspected.summed)
        replayed = poutine.replay(summing(model), trace=guide_trace)
        return poutine.trace(replayed).get_trace(*args, **kwargs), guide_trace

    def _at(self, at: Any, model: Any, guide: Any, args: Any, kwargs: Any) -> Any:
        """Returns the weighted bound at some values of the sites, and what lies outside of it."""
        inspected = self.inspected
        site = next(iter(inspected.sites.values()))
        plates = site.frames if inspected.by_plate else frozenset()
        held = Replay(at)(guide)
        model_trace, guide_trace = self._get_trace(model, held, args, kwargs)
        weights, costs = [], []
        rest = torch.zeros(())
        groups = groups_of(model_trace, inspected.summed.found)
        grouped = {name: group for group in groups for name in group.sites}
        for trace, of_guide in ((model_trace, False), (guide_trace, True)):
            trace = prune_subsample_sites(trace)
            trace.compute_log_prob()
            for name, node in trace.nodes.items():
                group = None if of_guide else grouped.get(name)
                if node["type"] != "sample" or (group and group.outermost.name != name):
                    continue
                if of_guide and name not in at and is_discrete(node):
                    raise CannotEnumerateError(f"site {name!r} is reached at some values only")
                frames = frames_of(node)
                value = node["log_prob"] if group is None else term_of(group, trace, log_prob_of)
                value = -value if of_guide else value
                if plates <= frames:
                    costs.append(Term(name, value, frames, frozenset(at), of_guide))
                else:
                    rest = rest + value.sum()
                if of_guide and name in at:
                    log_q = unmasked(node["fn"]).log_prob(node["value"])
                    weights.append(Term(name, log_q, frames, frozenset(at), True))
        if len(weights) < len(at):
            raise CannotEnumerateError("some sites are reached at some values only")
        weight = torch.exp(reduce_to(weights, plates, rest))
        cost = reduce_to(costs, plates, rest)
        # What is never drawn may cost infinitely much.
        cost = torch.where(weight > 0, cost, torch.zeros_like(weight))
        return (weight * cost).sum(), rest


def is_discrete(node: Any) -> bool:
    """Returns whether a node of a guide's trace is a discrete latent site."""
    return not node["is_observed"] and not getattr(node["fn"], "has_rsample", False)
