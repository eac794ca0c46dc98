"""The class that the unbiased ELBOs are made from, one an estimator."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.lax import stop_gradient
from numpyro.infer.elbo import ELBO

from relaxppl.common.docstring import documented_by
from relaxppl.common.naming import TEMPERATURE
from relaxppl.estimators import kl_factor
from relaxppl.estimators.base import Estimator, Parameter, Step, draws_of
from relaxppl.estimators.choice import choose, unprepared, wanted
from relaxppl.estimators.elbo import EstimatorELBO
from relaxppl.estimators.multi_sample import Rows, objective_of, rows_of, value_of, weighted
from relaxppl.estimators.site import Candidate
from relaxppl.numpyro.elbo.batched import InBatches
from relaxppl.numpyro.elbo.jumps import with_jumps
from relaxppl.numpyro.elbo.parameters import Learned, PreparedGuide
from relaxppl.numpyro.elbo.program import Program
from relaxppl.numpyro.elbo.sleep import log_q
from relaxppl.numpyro.elbo.structure import Structure, analyse


@documented_by(EstimatorELBO)
class DiscreteELBO(EstimatorELBO, ELBO):
    """An unbiased ELBO for guides with discrete sites; see its subclasses, one an estimator."""

    can_infer_discrete = True

    def __init__(
        self,
        num_particles: int | None = None,
        vectorize_particles: bool | int | Callable[..., Any] = True,
        *,
        exact_kl: bool | str = False,
        **options: Any,
    ) -> None:
        particles = self._keep(num_particles, vectorize_particles, exact_kl, options)
        how = vectorize_particles if self.batch is None else InBatches(self.batch)
        super().__init__(particles, how)
        self._warned: set[str] = set()

    def prepare(self, guide: Callable[..., Any]) -> PreparedGuide:
        """Returns the guide to hand to SVI, which also declares what the estimator learns.

        :param guide: the guide.
        :returns: the same guide with the parameters ``{site}.estimator.*`` and
            ``{site}.baseline.*``, which the one optimiser of SVI then trains.
        """

        def parameters(site: Candidate) -> list[Parameter]:
            own = wanted(site, self.estimator).parameters(site)
            return own + kl_factor.parameters(site, self.exact_kl)

        return PreparedGuide(guide, parameters)

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
        if isinstance(guide, PreparedGuide):
            guide = guide.guide
        structure = analyse(model, guide, args, kwargs, param_map)
        chosen = choose(structure.discrete.values(), self.estimator, self.num_particles)
        self._check_declared(structure, chosen, param_map)
        sites = structure.discrete
        relaxed = frozenset(n for n, e in chosen.items() if e.relaxes(sites[n].law))
        if relaxed:
            below = structure.downstream(relaxed) & sites.keys()
            relaxed |= {n for n in below if (law := sites[n].law) and law.relaxable}
            structure = with_jumps(structure, relaxed, model, guide, args, kwargs, param_map)
        particles_key, plate_key, variance_key = jax.random.split(rng_key, 3)
        # Leaving one draw out is only sharp if the draws see the same data.
        compared = self.estimator.multi_sample or any(e.compares for e in chosen.values())
        shared = plate_key if compared else None
        flags: dict[int, Any] = {
            every: True if every == 1 else jax.random.bernoulli(variance_key, 1.0 / every)
            for every in {estimator.every for estimator in chosen.values()}
        }
        together = [name for name, estimator in chosen.items() if estimator.sees_all_draws]

        multi_sample = self.estimator.multi_sample
        by_rows: list[Rows] = []

        def learns(name: str) -> bool:
            return f"{name}{TEMPERATURE}" in param_map

        factors = None
        if self.exact_kl == kl_factor.LEARNED:
            keys = {name: kl_factor.key(name) for name in chosen}
            factors = {name: param_map[key] for name, key in keys.items() if key in param_map}

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
                bool(self.exact_kl),
                noise_key,
                factors,
                not multi_sample,
                self.estimator.holds_draws,
                self.batch,
            )
            if multi_sample:
                by_rows.append(rows_of(program))
                draws = weighted(program, by_rows[0])
                return {"draws": draws, "state": program.mutable_state()}
            learned = Learned(param_map)
            step = Step(program, chosen, learned, learns, flags)
            found = step.local()
            kl_factor.learn(step, found)
            return {
                "elbo": sum((jnp.sum(term.value) for term in program.terms), jnp.zeros(())),
                "surrogate": step.surrogate(found),
                "draws": {name: draws_of(program, program.sites[name]) for name in together},
                "own": {
                    name: kl_factor.site_draw(step, name)
                    for name in together
                    if name in program.factors
                },
                "gradients": learned.gradients,
                "state": program.mutable_state(),
            }

        if self.num_particles == 1:
            out = particle(particles_key)
            out = jax.tree.map(lambda x: jnp.asarray(x)[None], out)
        else:
            keys = jax.random.split(particles_key, self.num_particles)
            out = self.vectorize_particles_fn(particle, keys)
        state = jax.tree.map(lambda x: x[0], out["state"])
        if multi_sample:
            draws, rows = out["draws"], by_rows[0]
            self.rows = rows.plates
            value = value_of(draws, rows, 0)
            objective = objective_of(self.estimator, draws, rows, 0)
            if self.estimator.sleep:

                def dream(key: jax.Array) -> jax.Array:
                    return log_q(model, guide, args, kwargs, param_map, key)

                keys = jax.random.split(jax.random.fold_in(variance_key, 1), self.num_particles)
                dreams = self.vectorize_particles_fn(dream, keys)
                objective += self.estimator.sleep * jnp.mean(dreams)
            loss = -_value_neutral(stop_gradient(value), objective)
            return {"loss": loss, "mutable_state": state or None}
        learned = Learned(param_map)
        surrogate = jnp.sum(out["surrogate"])
        for name, draws in out["draws"].items():
            if name in out["own"]:
                own = out["own"][name]
                surrogate += kl_factor.compare(chosen[name], name, draws, own, learned, 0)
            else:
                surrogate += chosen[name].compare(name, draws, learned, 0)
        gradients = jax.tree.map(lambda x: jnp.sum(x, axis=0), out["gradients"])
        for name, gradient in {**gradients, **learned.gradients}.items():
            surrogate -= jnp.sum(stop_gradient(gradient) * param_map[name])
        loss = -_value_neutral(jnp.mean(out["elbo"]), surrogate / self.num_particles)
        state.update(learned.averages)
        return {"loss": loss, "mutable_state": state or None}

    def _check_declared(
        self, structure: Structure, chosen: dict[str, Estimator], params: dict[str, Any]
    ) -> None:
        prepared = set(chosen)
        for name, estimator in chosen.items():
            for parameter in estimator.parameters(structure.discrete[name]):
                if parameter.kind == "count":  # It says so itself where it is read.
                    continue
                key = parameter.name
                if parameter.kind == "network":
                    key += ".weight_in"
                if key in params:
                    continue
                prepared.discard(name)
                if parameter.needed:
                    fixed = ", or pass learn=False" if parameter.kind == "positive" else ""
                    raise ValueError(
                        f"{type(self).__name__} learns {key!r} for the site {name!r}, which the "
                        "guide does not declare: hand elbo.prepare(guide) to SVI in place of "
                        f"guide{fixed}"
                    )
        missing = [
            name
            for name, site in structure.discrete.items()
            for parameter in kl_factor.parameters(site, self.exact_kl)
            if parameter.name not in params
        ]
        texts = unprepared(chosen, prepared) + kl_factor.unprepared(self.exact_kl, missing)
        for text in set(texts) - self._warned:
            self._warned.add(text)
            warnings.warn(f"{type(self).__name__}: {text}", stacklevel=2)


def _value_neutral(value: jax.Array, surrogate: jax.Array) -> jax.Array:
    return value + (surrogate - stop_gradient(surrogate))
