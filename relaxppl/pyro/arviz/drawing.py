"""Draws of a guide, with what the model says of them, one at a time or in one vectorised run."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyro
import torch
from pyro import poutine
from pyro.infer.inspect import site_is_deterministic
from pyro.poutine.util import site_is_subsample

from relaxppl import relaxing
from relaxppl.arviz.prototype import Prototype, check_covered, check_params, inexact
from relaxppl.arviz.request import Request
from relaxppl.arviz.sites import deterministic_site
from relaxppl.arviz.traced import (
    is_auxiliary,
    is_discrete,
    is_latent,
    latents,
    posterior,
    written_relaxed,
)
from relaxppl.ops import as_numpy
from relaxppl.pyro.arviz import traced
from relaxppl.pyro.arviz.rerunning import Params, Substitute, Unobserve, whole_plates
from relaxppl.pyro.arviz.traced import Nodes
from relaxppl.pyro.registry import HOST
from relaxppl.watching import Watched, watched

DRAWS = "relaxppl_draws"
"""The name of the plate of a vectorised run."""


@dataclass
class Program:
    """A model and its trained guide.

    :param model: as SVI takes it.
    :param guide: as SVI takes it.
    :param params: constrained values by name, or None for those of the parameter store.
    :param args: of model and guide.
    :param kwargs: of model and guide.
    :param request: what to draw.
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
    draws: int | None = None
    nesting: int = 0

    def prototype(self) -> Prototype:
        """Runs both programs once and returns what there is; settles how the draws are made.

        :raises ValueError: if the parameters do not fit, or the guide lacks a site.
        """
        self._check_params()
        relaxed, guide, model = self._settled()
        latent = {n: s for n, s in guide.items() if is_latent(s) and not is_auxiliary(s)}
        check_covered(latent, [n for n, s in model.items() if is_latent(s)])
        observed = {n: s for n, s in model.items() if traced.is_observed(s)}
        sites = {n: traced.dims_of(s) for n, s in (latent | observed).items()}
        for name, site in model.items():
            if site_is_deterministic(site):
                frames = {f.dim: (f.name, f.size) for f in site["cond_indep_stack"] if f.vectorized}
                sites[name] = deterministic_site(tuple(site["value"].shape), frames)
        written = {n: fn for n, s in latent.items() if (fn := written_relaxed(HOST, s, relaxed))}
        reason = inexact(relaxed, self.hardened)
        self.weighted = reason is None
        both = [s for nodes in (guide, model) for s in nodes.values() if s["type"] == "sample"]
        self.nesting = max(
            (len(s["fn"].batch_shape) for s in both if not site_is_deterministic(s)), default=0
        )
        return Prototype(
            sites=sites,
            observed={n: as_numpy(s["value"]) for n, s in observed.items()},
            relaxed=relaxed,
            written=written,
            discrete=[n for n, s in latent.items() if n not in relaxed and is_discrete(HOST, s)],
            hardened=self.hardened,
            reason=reason,
        )

    def draw(self) -> dict[str, dict[str, np.ndarray]]:
        """Returns draws of every group that is drawn, by group and variable."""
        relaxed, guide = self._run_guide()
        values = latents(guide, relaxed, self.hardened)
        model = self._run_model(values)
        log_p = self._log_prob_sum(model)
        drawn = {
            "posterior": posterior(HOST, guide, relaxed, traced.array, traced.whole)
            | traced.deterministic_values(model),
            "sample_stats": {"log_p": log_p},
        }
        if self.weighted:
            log_q = self._log_prob_sum(guide)
            drawn["sample_stats"] |= {"log_q": log_q, "log_weight": log_p - log_q}
        observed = {n: s for n, s in model.items() if traced.is_observed(s)}
        if self.request.log_likelihood:
            drawn["log_likelihood"] = {
                n: as_numpy(traced.log_likelihood(s)) for n, s in observed.items()
            }
        if self.request.posterior_predictive and observed:
            again = self._run_model(values, unobserve=True)
            drawn["posterior_predictive"] = {n: traced.value_of(again[n]) for n in observed}
        return drawn

    def draw_prior(self) -> dict[str, dict[str, np.ndarray]]:
        """Returns draws of the model alone, by group and variable."""
        nodes = self._run_model({}, unobserve=True)
        made: dict[str, dict[str, np.ndarray]] = {
            "prior": traced.deterministic_values(nodes),
            "prior_predictive": {},
        }
        for name, site in nodes.items():
            if site["type"] == "sample" and not (is_auxiliary(site) or site_is_deterministic(site)):
                was_observed = site["infer"].get("was_observed", False)
                made["prior_predictive" if was_observed else "prior"][name] = traced.value_of(site)
        return made

    def _check_params(self) -> None:
        with pyro.get_param_store().scope(), poutine.block(), torch.no_grad():
            guide = poutine.trace(self.guide).get_trace(*self.args, **self.kwargs)
            replayed = poutine.replay(self.model, trace=guide)
            model = poutine.trace(replayed).get_trace(*self.args, **self.kwargs)
        sites = [s for t in (model, guide) for s in t.nodes.values() if s["type"] == "param"]
        declared = {s["name"]: s["value"] for s in sites}
        given = pyro.get_param_store() if self.params is None else self.params
        known = {name: given[name] for name in given.keys()}  # noqa: SIM118, it is no dict
        if self.params is None and any(
            isinstance(program, torch.nn.Module) for program in (self.model, self.guide)
        ):
            known = declared | known
        # A module's parameters are where they are used: the store only knows of them.
        held = {s["name"]: s["value"] for s in sites if traced.is_held_by_module(s)}
        way = "what the training left in the parameter store, or a dict,"
        check_params(declared, held | known, lambda value: tuple(value.shape), way)
        if self.params is not None:
            self.params = {n: torch.as_tensor(v) for n, v in self.params.items() if n in declared}

    def vectorises(self, draws: int = 3) -> bool:
        """Returns whether a vectorised run does to each draw what a run of its own does.

        A program that was not written for it may fail there, or mix the draws up. So a few draws of
        a vectorised run are scored again one at a time.

        :param draws: how many.
        """
        state = torch.get_rng_state()
        _, alone, _ = self._both()
        try:
            self.draws = draws
            relaxed, guide = self._run_guide()
            model = self._run_model(latents(guide, relaxed, self.hardened))
            together = self._log_prob_sum(guide), self._log_prob_sum(model)
            values = {
                name: site["value"].reshape(draws, *alone[name]["value"].shape)
                for name, site in guide.items()
                if is_latent(site)
            }
            self.draws = None
            for i in range(draws):
                relaxed, guide = self._run_guide({name: v[i] for name, v in values.items()})
                model = self._run_model(latents(guide, relaxed, self.hardened))
                each = self._log_prob_sum(guide), self._log_prob_sum(model)
                if not np.allclose(each, [sums[i] for sums in together], rtol=1e-4, atol=1e-4):
                    return False
        except (ValueError, RuntimeError, IndexError, AssertionError):
            return False
        finally:
            self.draws = None
            torch.set_rng_state(state)
        return True

    def trained(self) -> dict[str, Any]:
        """Returns the parameters by name, wherever they are."""
        if self.params is not None:
            return self.params
        return dict(pyro.get_param_store().items())

    def _settled(self) -> tuple[dict[str, Watched], Nodes, Nodes]:
        state = torch.get_rng_state()
        try:
            relaxed, guide, model = self._both()
        except (ValueError, RuntimeError, IndexError):
            # A program may take its subsample as an argument and run on nothing else.
            self.whole = False
            torch.set_rng_state(state)
            relaxed, guide, model = self._both()
        relaxed_anyway = any(
            is_latent(s) and written_relaxed(HOST, s, relaxed) is not None
            for s in (*guide.values(), *model.values())
        )
        if relaxed_anyway or not all(site.hardens for site in relaxed.values()):
            self.hardened = False
            relaxed, guide, model = self._both()
        return relaxed, guide, model

    def _both(self) -> tuple[dict[str, Watched], Nodes, Nodes]:
        relaxed, guide = self._run_guide()
        return relaxed, guide, self._run_model(latents(guide, relaxed, self.hardened))

    def _run_guide(
        self, values: dict[str, torch.Tensor] | None = None
    ) -> tuple[dict[str, Watched], Nodes]:
        guide = Substitute(values)(self.guide) if values else self.guide
        with watched(self.hardened) as relaxed:
            nodes = self._trace(guide)
        return relaxed, nodes

    def _run_model(self, latents: dict[str, Any], unobserve: bool = False) -> Nodes:
        model = Substitute(latents)(self.model)
        if unobserve:
            model = Unobserve()(model)
        with relaxing.left_discrete() if self.hardened else nullcontext():
            return self._trace(model)

    def _trace(self, fn: Callable[..., Any]) -> Nodes:
        if self.params is not None:
            fn = Params(self.params)(fn)
        if self.draws is not None:
            fn = pyro.plate(DRAWS, self.draws, dim=-1 - self.nesting)(fn)
        with whole_plates() if self.whole else nullcontext(), poutine.block(), torch.no_grad():
            trace = poutine.trace(fn).get_trace(*self.args, **self.kwargs)
        return {n: s for n, s in trace.nodes.items() if not site_is_subsample(s)}

    def _log_prob_sum(self, nodes: Nodes) -> np.ndarray:
        """Returns the sum over sites, a scalar or (draws,)."""
        total: Any = 0.0
        for site in nodes.values():
            if site["type"] != "sample" or site_is_deterministic(site):
                continue
            log_prob = traced.log_prob(site)
            if self.draws is None:
                total = total + log_prob.sum()
                continue
            # Every site lies in the plate of draws, which is outermost.
            shape = (self.draws,) + (1,) * self.nesting
            log_prob = log_prob.expand(torch.broadcast_shapes(log_prob.shape, shape))
            total = total + log_prob.reshape(self.draws, -1).sum(1)
        return as_numpy(torch.as_tensor(total))
