"""One draw of a guide, with what the model says of it: a function that JAX can vectorise."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpyro import handlers

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
from relaxppl.numpyro.arviz import traced
from relaxppl.numpyro.arviz.rerunning import Unobserve, WholePlates
from relaxppl.numpyro.arviz.traced import Trace
from relaxppl.numpyro.registry import HOST
from relaxppl.watching import Watched, watched


@dataclass
class Program:
    """A model and its trained guide.

    :param model: as SVI takes it.
    :param guide: as SVI takes it.
    :param params: constrained values by name.
    :param args: of model and guide.
    :param kwargs: of model and guide.
    :param request: what to draw.
    """

    model: Callable[..., Any]
    guide: Callable[..., Any]
    params: dict[str, Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    request: Request
    hardened: bool = True
    whole: bool = True
    weighted: bool = True

    def prototype(self, rng_key: jax.Array) -> Prototype:
        """Runs both programs once and returns what there is; settles how the draws are made.

        :param rng_key: a PRNG key.
        :raises ValueError: if the parameters do not fit, or the guide lacks a site.
        """
        check_params(self._declared(rng_key), self.params, _shapes, "the result of svi.run")
        relaxed, guide, model = self._settled(rng_key)
        latent = {n: s for n, s in guide.items() if is_latent(s) and not is_auxiliary(s)}
        check_covered(latent, [n for n, s in model.items() if is_latent(s)])
        observed = {n: s for n, s in model.items() if traced.is_observed(s)}
        fixed = {n: s for n, s in model.items() if s["type"] == "deterministic"}
        sites = {n: traced.dims_of(s) for n, s in (latent | observed).items()}
        for name, site in fixed.items():
            frames = {f.dim: (f.name, f.size) for f in site["cond_indep_stack"]}
            sites[name] = deterministic_site(jnp.shape(site["value"]), frames)
        written = {n: fn for n, s in latent.items() if (fn := written_relaxed(HOST, s, relaxed))}
        reason = inexact(relaxed, self.hardened)
        self.weighted = reason is None
        return Prototype(
            sites=sites,
            observed={n: np.asarray(s["value"]) for n, s in observed.items()},
            relaxed=relaxed,
            written=written,
            discrete=[n for n, s in latent.items() if n not in relaxed and is_discrete(HOST, s)],
            hardened=self.hardened,
            reason=reason,
        )

    def draw(self, rng_key: jax.Array) -> dict[str, dict[str, jax.Array]]:
        """Returns one draw of every group that is drawn, by group and variable.

        :param rng_key: a PRNG key.
        """
        guide_key, model_key, predict_key = jax.random.split(rng_key, 3)
        relaxed, guide = self._run_guide(guide_key)
        values = latents(guide, relaxed, self.hardened)
        model = self._run_model(values, model_key)
        log_p = sum(jnp.sum(traced.log_prob(s)) for s in model.values() if s["type"] == "sample")
        drawn = {
            "posterior": posterior(HOST, guide, relaxed, jnp.asarray, traced.whole)
            | traced.deterministic_values(model),
            "sample_stats": {"log_p": log_p},
        }
        if self.weighted:
            log_q = sum(
                jnp.sum(traced.log_prob(s)) for s in guide.values() if s["type"] == "sample"
            )
            drawn["sample_stats"] |= {"log_q": log_q, "log_weight": log_p - log_q}
        observed = {n: s for n, s in model.items() if traced.is_observed(s)}
        if self.request.log_likelihood:
            drawn["log_likelihood"] = {n: traced.log_likelihood(s) for n, s in observed.items()}
        if self.request.posterior_predictive and observed:
            again = self._run_model(values, predict_key, unobserve=True)
            drawn["posterior_predictive"] = {n: traced.value_of(again[n]) for n in observed}
        return drawn

    def draw_prior(self, rng_key: jax.Array) -> dict[str, dict[str, jax.Array]]:
        """Returns one draw of the model alone, by group and variable.

        :param rng_key: a PRNG key.
        """
        trace = self._run_model({}, rng_key, unobserve=True)
        made: dict[str, dict[str, jax.Array]] = {
            "prior": traced.deterministic_values(trace),
            "prior_predictive": {},
        }
        for name, site in trace.items():
            if site["type"] == "sample" and not is_auxiliary(site):
                was_observed = site["infer"].get("was_observed", False)
                made["prior_predictive" if was_observed else "prior"][name] = traced.value_of(site)
        return made

    def _settled(self, rng_key: jax.Array) -> tuple[dict[str, Watched], Trace, Trace]:
        try:
            relaxed, guide, model = self._both(rng_key)
        except (ValueError, TypeError, IndexError):
            # A program may take its subsample as an argument and run on nothing else.
            self.whole = False
            relaxed, guide, model = self._both(rng_key)
        relaxed_anyway = any(
            is_latent(s) and written_relaxed(HOST, s, relaxed) is not None
            for s in (*guide.values(), *model.values())
        )
        if relaxed_anyway or not all(site.hardens for site in relaxed.values()):
            self.hardened = False
            relaxed, guide, model = self._both(rng_key)
        return relaxed, guide, model

    def _both(self, rng_key: jax.Array) -> tuple[dict[str, Watched], Trace, Trace]:
        relaxed, guide = self._run_guide(rng_key)
        return relaxed, guide, self._run_model(latents(guide, relaxed, self.hardened), rng_key)

    def _declared(self, rng_key: jax.Array) -> dict[str, Any]:
        """Returns the first values of the parameters that the programs declare."""
        guide = handlers.trace(handlers.seed(self.guide, rng_key))
        guide_trace = guide.get_trace(*self.args, **self.kwargs)
        seeded = handlers.seed(handlers.replay(self.model, guide_trace), rng_key)
        model_trace = handlers.trace(seeded).get_trace(*self.args, **self.kwargs)
        sites = [*model_trace.values(), *guide_trace.values()]
        return {s["name"]: s["value"] for s in sites if s["type"] == "param"}

    def _run_guide(self, rng_key: jax.Array) -> tuple[dict[str, Watched], Trace]:
        with watched(self.hardened) as relaxed:
            trace = self._trace(self.guide, self.params, rng_key)
        return relaxed, trace

    def _run_model(
        self, latents: dict[str, Any], rng_key: jax.Array, unobserve: bool = False
    ) -> Trace:
        data = {**self.params, **latents}
        if not self.hardened:
            return self._trace(self.model, data, rng_key, unobserve)
        with relaxing.left_discrete():
            return self._trace(self.model, data, rng_key, unobserve)

    def _trace(
        self, fn: Callable[..., Any], data: dict[str, Any], key: jax.Array, unobserve: bool = False
    ) -> Trace:
        fn = handlers.seed(handlers.substitute(fn, data=data), key)
        if self.whole:
            fn = WholePlates(fn)
        if unobserve:
            fn = Unobserve(fn)
        return handlers.trace(fn).get_trace(*self.args, **self.kwargs)


def _shapes(value: Any) -> Any:
    return jax.tree.map(jnp.shape, value)
