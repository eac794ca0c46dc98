"""The negative ELBO with a guide's discrete sites summed over all their values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from numpyro import handlers
from numpyro.infer.elbo import ELBO
from numpyro.infer.util import get_importance_trace

from relaxppl.common import enumerated
from relaxppl.estimators.program import Term, reduce_to
from relaxppl.estimators.site import Frames
from relaxppl.numpyro.elbo.laws import unmasked
from relaxppl.numpyro.elbo.structure import Structure, analyse
from relaxppl.numpyro.elbo.summed_out import frames_of, groups_of, term_of
from relaxppl.numpyro.sites import SITES

_AT_ONCE = 64


class Inspected(enumerated.Inspected):
    """A guide's discrete sites, and what depends on what.

    :param params: the parameters by name, constrained.
    """

    def __init__(self, model: Any, guide: Any, args: Any, kwargs: Any, params: Any) -> None:
        self.structure: Structure = analyse(model, guide, args, kwargs, params)
        self.candidates = list(self.structure.discrete.values())
        self.variables, self.random = {}, False
        frames: list[tuple[str, bool, Frames]] = []

        def run(fn: Callable[..., Any]) -> dict[str, Any]:
            seeded = handlers.seed(handlers.substitute(fn, data=params), rng_seed=0)
            return handlers.trace(seeded).get_trace(*args, **kwargs)

        def look() -> None:
            traces = run(self.structure.summing(model)), run(guide)
            groups = groups_of(traces[0], self.structure.summed)
            outer = {n: group.outermost.frames for group in groups for n in group.sites}
            for fn, trace in zip((model, guide), traces, strict=True):
                for name, site in trace.items():
                    if site["type"] == "plate":
                        size, subsample_size = site["args"]
                        self.random |= size != subsample_size
                    elif site["type"] == "sample":
                        own = frames_of(site)
                        frames.append(
                            (name, fn is guide, own if fn is guide else outer.get(name, own))
                        )
                        if fn is guide and name in self.structure.discrete:
                            self.variables[name] = SITES.variable_of(
                                site["fn"], site["cond_indep_stack"]
                            )
                        elif fn is guide and not site["is_observed"]:
                            self.random = True

        jax.eval_shape(look)
        self.model_latents = {n for n, of_guide, _ in frames if not of_guide}
        self.coupled = self._coupled(frames)
        shared = {own for n, of_guide, own in frames if of_guide and n in self.variables}
        self.by_plate = len(shared) == 1 and any(shared) and not self.coupled
        laws, known = self.structure.guide_laws, self.variables.keys()
        self.upstream = {n: laws[n] & known - {n} for n in known}
        self.dependent = [n for n in laws if n not in known and laws[n] & known]

    def _coupled(self, frames: list[tuple[str, bool, Frames]]) -> list[tuple[str, str]]:
        plates = {n: own for n, of_guide, own in frames if of_guide and n in self.variables}
        found = []
        for name, of_guide, own in frames:
            terms = self.structure.guide_terms if of_guide else self.structure.model_terms
            found += [(s, name) for s in terms[name] & plates.keys() if not plates[s] <= own]
        return found


def _log_prob(site: dict[str, Any]) -> jax.Array:
    return site["fn"].log_prob(site["value"])


class EnumeratedELBO(enumerated.Enumerated, ELBO):
    can_infer_discrete = True

    def loss_with_mutable_state(
        self,
        rng_key: jax.Array,
        param_map: dict[str, Any],
        model: Callable[..., Any],
        guide: Callable[..., Any],
        *args: Any,
        **kwargs: Any,
    ) -> Any:
        """Returns the loss, (), differentiable in the parameters; the mutable state stays."""
        inspected = self.inspected
        discrete = frozenset(inspected.variables)
        keys = jax.random.split(rng_key)
        values = enumerated.assignments(inspected.variables, inspected.by_plate)

        def evaluate(at: dict[str, jax.Array]) -> tuple[jax.Array, jax.Array, jax.Array]:
            held = handlers.substitute(handlers.seed(guide, keys[0]), data=at)
            summing = handlers.seed(inspected.structure.summing(model), keys[1])
            model_trace, guide_trace = get_importance_trace(summing, held, args, kwargs, param_map)
            groups = groups_of(model_trace, inspected.structure.summed)
            grouped = {name: group for group in groups for name in group.sites}
            frames: Frames = frozenset()
            if inspected.by_plate:
                frames = frames_of(guide_trace[next(iter(at))])
            weights, costs, rest = [], [], jnp.zeros(())
            for trace, sign in ((model_trace, 1.0), (guide_trace, -1.0)):
                for name, site in trace.items():
                    group = grouped.get(name) if sign > 0 else None
                    if site["type"] != "sample" or (group and name != group.outermost.name):
                        continue
                    own, value = frames_of(site), site["log_prob"]
                    if group is not None:
                        value = term_of(group, model_trace, _log_prob)
                    if frames <= own:
                        costs.append(Term(name, sign * value, own, discrete))
                    else:
                        rest = rest + sign * jnp.sum(value)
                    if sign < 0 and name in discrete:
                        log_q = unmasked(site["fn"]).log_prob(site["value"])
                        weights.append(Term(name, log_q, own, discrete))
            return reduce_to(weights, frames, rest), reduce_to(costs, frames, rest), rest

        points = {n: jnp.asarray(x) for n, x in values.items()}
        total = len(next(iter(values.values())))
        log_q, cost, rest = jax.lax.map(evaluate, points, batch_size=min(total, _AT_ONCE))
        weight = jnp.exp(log_q)
        # What is never drawn may cost infinitely much.
        cost = jnp.where(weight > 0, cost, 0.0)
        return {"loss": -(jnp.sum(weight * cost) + rest[0]), "mutable_state": None}
