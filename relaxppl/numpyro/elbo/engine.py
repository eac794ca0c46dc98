"""The ELBO that the five estimators share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.lax import stop_gradient
from numpyro.infer.elbo import ELBO

from relaxppl.estimators import network, score
from relaxppl.estimators.laws import Categorical
from relaxppl.numpyro.elbo.laws import law_of, law_type, unmasked
from relaxppl.numpyro.elbo.local import LocalGradients
from relaxppl.numpyro.elbo.plan import Plan, make_plan
from relaxppl.numpyro.elbo.prepare import (
    Needs,
    PreparedGuide,
    is_discrete,
    network_parameters,
    side_input,
)
from relaxppl.numpyro.elbo.program import Program, Term, frames_of, sum_to
from relaxppl.numpyro.elbo.structure import analyse


class Options(NamedTuple):
    """What the constructors of the five classes set."""

    estimator: str
    exact_kl: bool = False
    temperature: float = 0.5
    eta: float = 1.0
    learn: bool | None = None
    coupled: bool = True
    variance_every: int = 1
    control_variate: str = "rebar"
    baseline: str | None = None
    decay: float = 0.9
    hidden: int = 16


class DiscreteELBO(ELBO):
    """An unbiased ELBO for guides with discrete sites; see the five subclasses.

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
        _check(options)
        super().__init__(num_particles, vectorize_particles)
        self.options = options

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
        plan = make_plan(structure, options.estimator, options.control_variate, self.num_particles)
        self._check_declared(plan, param_map)
        particles_key, plate_key, variance_key = jax.random.split(rng_key, 3)
        # Leaving one draw out is only sharp if the draws see the same data.
        shared = plate_key if plan.of("rloo") else None
        learn_now = True
        if options.variance_every > 1:
            learn_now = jax.random.bernoulli(variance_key, 1.0 / options.variance_every)

        def particle(key: jax.Array) -> dict[str, Any]:
            model_key, guide_key, noise_key = jax.random.split(key, 3)
            program = Program(
                model,
                guide,
                args,
                kwargs,
                param_map,
                structure,
                (model_key, guide_key),
                shared,
                options.exact_kl,
            )
            return self._particle(program, plan, param_map, noise_key, learn_now)

        if self.num_particles == 1:
            out = particle(particles_key)
            out = jax.tree.map(lambda x: jnp.asarray(x)[None], out)
        else:
            keys = jax.random.split(particles_key, self.num_particles)
            out = self.vectorize_particles_fn(particle, keys)
        elbo = jnp.mean(out["elbo"])
        surrogate = jnp.mean(out["surrogate"])
        for log_q, cost in out["rloo"].values():
            advantage = cost - score.leave_one_out(cost)
            surrogate = surrogate + jnp.sum(score.surrogate(log_q, advantage)) / log_q.shape[0]
        objective = jnp.mean(out["objective"])
        loss = -_value_neutral(elbo, surrogate) + objective - stop_gradient(objective)
        state = jax.tree.map(lambda x: x[0], out["state"])
        state.update({n: jnp.mean(x, axis=0) for n, x in out["averages"].items()})
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

    def _particle(
        self,
        program: Program,
        plan: Plan,
        params: dict[str, Any],
        noise_key: jax.Array,
        learn_now: Any,
    ) -> dict[str, Any]:
        terms = program.terms()
        elbo = sum((jnp.sum(term.value) for term in terms), start=jnp.zeros(()))
        out: dict[str, Any] = {"elbo": elbo, "rloo": {}, "averages": {}}
        surrogate = objective = jnp.zeros(())
        costs = {name: downstream_cost(name, program, terms) for name in plan.estimators}

        for name, estimator in plan.estimators.items():
            site = program.guide_trace[name]
            if estimator not in ("score", "rloo"):
                continue
            log_q = _score_term(site)
            if estimator == "rloo":
                out["rloo"][name] = log_q, jnp.broadcast_to(costs[name], log_q.shape)
                continue
            baseline, fit, average = self._baseline(name, site, params, costs[name])
            surrogate = surrogate + jnp.sum(score.surrogate(log_q, costs[name] - baseline))
            objective = objective + fit
            out["averages"].update(average)

        local = LocalGradients(program, plan, self.options, params, costs, noise_key, learn_now)
        for name, h in local.gradients().items():
            logits = law_of(program.guide_trace[name]["fn"]).logits
            surrogate = surrogate + jnp.sum(stop_gradient(h) * logits)
        out["surrogate"] = surrogate
        out["objective"] = objective + local.objective
        out["state"] = program.mutable_state()
        return out

    def _baseline(
        self, name: str, site: dict[str, Any], params: dict[str, Any], cost: jax.Array
    ) -> tuple[jax.Array, jax.Array, dict[str, jax.Array]]:
        """Returns a score site's baseline, the loss that trains it, and its new average."""
        zero = jnp.zeros(())
        cost = stop_gradient(cost)
        if self.options.baseline == "average":
            key = f"{name}.baseline.average"
            average = stop_gradient(params[key])
            new = score.decay(average, jnp.mean(cost), self.options.decay)
            return average, zero, {key: new}
        if self.options.baseline == "network":
            weights = network_parameters(params, f"{name}.baseline.")
            side = side_input(site)
            assert weights is not None
            if side is None:
                raise ValueError(
                    f"site {name!r}: a network baseline needs infer={{'estimator_input': ...}}"
                )
            predicted = network.apply(weights, side)
            # The inputs may be broadcast over plates; the cost has their full shape.
            predicted = jnp.broadcast_to(
                predicted, jnp.broadcast_shapes(predicted.shape, cost.shape)
            )
            fit = jnp.sum((predicted - cost) ** 2)
            return predicted, fit, {}
        return zero, zero, {}


def downstream_cost(name: str, program: Program, terms: list[Term]) -> jax.Array:
    """Returns the sum of the terms that depend on a site, reduced to the site's plates."""
    frames = frames_of(program.guide_trace[name])
    return stop_gradient(sum_to((t for t in terms if name in t.deps), frames))


def _score_term(site: dict[str, Any]) -> jax.Array:
    """Returns a term over the site's batch whose gradient is that of its log q, unmasked.

    The gradient of NumPyro's own Bernoulli log density is b, not b - 1/2, at logits of exactly
    zero; where the law is known its score does not depend on the host's.
    """
    fn = site["fn"]
    if law_type(fn) is None:
        return unmasked(fn).log_prob(site["value"])
    law = law_of(fn)
    term = stop_gradient(law.stopped().score(law.encode(site["value"]))) * law.logits
    return jnp.sum(term, axis=tuple(range(len(fn.batch_shape), term.ndim)))


def _value_neutral(value: jax.Array, surrogate: jax.Array) -> jax.Array:
    return value + surrogate - stop_gradient(surrogate)


def _check(options: Options) -> None:
    def complain(argument: str, given: Any, allowed: str) -> None:
        raise ValueError(f"{argument} must be {allowed}, got {given!r}")

    if not options.temperature > 0:
        complain("temperature", options.temperature, "positive")
    if options.variance_every < 1:
        complain("variance_every", options.variance_every, "a positive integer")
    if options.control_variate not in ("both", "rebar", "network"):
        complain("control_variate", options.control_variate, "'both', 'rebar' or 'network'")
    if options.baseline not in (None, "average", "network"):
        complain("baseline", options.baseline, "None, 'average' or 'network'")
    if not 0 <= options.decay < 1:
        complain("decay", options.decay, "in [0, 1)")
