"""The class that the five unbiased ELBOs are made from."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.lax import stop_gradient
from numpyro.infer.elbo import ELBO

from relaxppl.estimators.gradients import LocalGradients, score_surrogate, scored
from relaxppl.estimators.laws import Categorical
from relaxppl.estimators.plan import Options, Plan, make_plan, unprepared
from relaxppl.naming import TEMPERATURE
from relaxppl.numpyro.elbo.laws import law_type
from relaxppl.numpyro.elbo.parameters import Learned, Needs, PreparedGuide, is_discrete
from relaxppl.numpyro.elbo.program import Program
from relaxppl.numpyro.elbo.structure import analyse


class DiscreteELBO(ELBO):
    """An unbiased ELBO for guides with discrete sites; see the five subclasses.

    The bound is evaluated at the guide's own discrete draws, so the reported loss is an unbiased
    estimate of the negative ELBO; the estimator only decides the gradient of the discrete sites.

    :param options: the estimator and its settings.
    :param num_particles: how many draws the estimate averages over.
    :param vectorize_particles: as of the host's ELBOs.
    """

    can_infer_discrete = True

    def __init__(
        self,
        options: Options,
        num_particles: int = 1,
        vectorize_particles: bool | Callable[..., Any] = True,
    ) -> None:
        super().__init__(num_particles, vectorize_particles)
        self.options = options
        self._warned = False

    def prepare(self, guide: Callable[..., Any]) -> PreparedGuide:
        """Returns the guide to hand to SVI, which also declares what the estimator learns.

        :param guide: the guide.
        :returns: the same guide with the parameters ``{site}.estimator.*`` and
            ``{site}.baseline.*``, which the one optimiser of SVI then trains.
        """

        def needs(site: dict[str, Any]) -> Needs | None:
            if not is_discrete(site):
                return None
            return self._needs(site["infer"].get("estimator") or self.options.estimator, site)

        return PreparedGuide(guide, needs)

    def _needs(self, estimator: str, site: dict[str, Any]) -> Needs:
        options = self.options
        if estimator == "score":
            return Needs(
                baseline_network=options.hidden if options.baseline == "network" else None,
                average=options.baseline == "average",
            )
        kind = law_type(site["fn"])
        uses_network = estimator == "relax" and options.control_variate != "rebar"
        uses_cost = estimator == "rebar" or (
            estimator == "relax"
            and options.control_variate != "network"
            and kind is not Categorical
        )
        fixed = options.learn is False or not uses_cost
        return Needs(
            temperature=None if fixed else options.temperature,
            eta=None if fixed else options.eta,
            control_network=options.hidden if uses_network and kind is not None else None,
        )

    def loss_with_mutable_state(
        self,
        rng_key: jax.Array,
        param_map: dict[str, Any],
        model: Callable[..., Any],
        guide: Callable[..., Any],
        *args: Any,
        **kwargs: Any,
    ) -> Any:
        """Returns the loss, an unbiased estimate of -ELBO, and the new mutable state.

        The loss is differentiable in ``param_map``; its gradient estimates that of -ELBO in the
        model's and the guide's parameters, and that of the variance in the estimator's own.
        """
        options = self.options
        if isinstance(guide, PreparedGuide):
            guide = guide.guide
        structure = analyse(model, guide, args, kwargs, param_map)
        plan = make_plan(structure.discrete.values(), options, self.num_particles)
        self._check_declared(plan, param_map)
        particles_key, plate_key, variance_key = jax.random.split(rng_key, 3)
        # Leaving one draw out is only sharp if the draws see the same data.
        shared = plate_key if plan.of("rloo") else None
        tangents: Any = True
        if options.variance_every > 1:
            tangents = jax.random.bernoulli(variance_key, 1.0 / options.variance_every)

        chosen = {n: e for n, e in plan.estimators.items() if e in ("score", "rloo")}

        def learns(name: str) -> bool:
            return f"{name}{TEMPERATURE}" in param_map

        def particle(key: jax.Array) -> dict[str, Any]:
            program_key, noise_key = jax.random.split(key)
            program = Program(
                model,
                guide,
                args,
                kwargs,
                param_map,
                structure,
                tuple(jax.random.split(program_key)),
                shared,
                options.exact_kl,
                noise_key,
            )
            learned = Learned(param_map)
            local = LocalGradients(program, plan, options, learned, learns, tangents)
            return {
                "elbo": sum((jnp.sum(term.value) for term in program.terms), jnp.zeros(())),
                "surrogate": local.surrogate(),
                "scored": {name: scored(program, program.sites[name]) for name in chosen},
                "gradients": learned.gradients,
                "state": program.mutable_state(),
            }

        if self.num_particles == 1:
            out = particle(particles_key)
            out = jax.tree.map(lambda x: jnp.asarray(x)[None], out)
        else:
            keys = jax.random.split(particles_key, self.num_particles)
            out = self.vectorize_particles_fn(particle, keys)
        learned = Learned(param_map)
        surrogate = jnp.sum(out["surrogate"])
        for name, draws in out["scored"].items():
            surrogate += score_surrogate(chosen[name], name, draws, options, learned)
        loss = -_value_neutral(jnp.mean(out["elbo"]), surrogate / self.num_particles)
        gradients = jax.tree.map(lambda x: jnp.sum(x, axis=0), out["gradients"])
        for name, gradient in {**gradients, **learned.gradients}.items():
            term = jnp.sum(stop_gradient(gradient / self.num_particles) * param_map[name])
            loss = loss + term - stop_gradient(term)
        state = jax.tree.map(lambda x: x[0], out["state"])
        state.update(learned.averages)
        return {"loss": loss, "mutable_state": state or None}

    def _check_declared(self, plan: Plan, params: dict[str, Any]) -> None:
        options = self.options
        for name, estimator in plan.estimators.items():
            missing = None
            if name in plan.soft and options.learn:
                missing = f"{name}.estimator.temperature"
            elif name in plan.networks:
                missing = f"{name}.estimator.weight_in"
            elif estimator == "score" and options.baseline == "network":
                missing = f"{name}.baseline.weight_in"
            elif estimator == "score" and options.baseline == "average":
                missing = f"{name}.baseline.average"
            if missing is not None and missing not in params:
                raise ValueError(
                    f"{type(self).__name__} learns {missing!r} for the site {name!r}, which the "
                    "guide does not declare: hand elbo.prepare(guide) to SVI in place of guide"
                    + (", or pass learn=False" if name in plan.soft and options.learn else "")
                )
        learned = any(f"{name}.estimator.temperature" in params for name in plan.soft)
        if plan.soft and options.learn is None and not learned and not self._warned:
            self._warned = True
            warnings.warn(f"{type(self).__name__}: {unprepared(plan, options)}", stacklevel=2)


def _value_neutral(value: jax.Array, surrogate: jax.Array) -> jax.Array:
    return value + surrogate - stop_gradient(surrogate)
