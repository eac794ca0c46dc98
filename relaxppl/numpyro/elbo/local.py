"""The local gradients of the sites whose estimators evaluate the program at other values."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import jax
import jax.numpy as jnp
from jax.lax import stop_gradient

from relaxppl import ops
from relaxppl.estimators import disarm, network, rebar
from relaxppl.estimators.laws import Draw, Law
from relaxppl.estimators.plan import Options, Plan
from relaxppl.numpyro.elbo.laws import law_of, stopped
from relaxppl.numpyro.elbo.parameters import (
    network_parameters,
    network_rank,
    scale_of,
    side_input,
)
from relaxppl.numpyro.elbo.program import Program
from relaxppl.numpyro.elbo.structure import Term, frames_of, reduce_to


@contextmanager
def _explained(level: tuple[str, ...]) -> Iterator[None]:
    try:
        yield
    except (TypeError, ValueError) as error:
        error.add_note(
            "This was raised while the model or the guide ran at relaxed values of "
            f"{', '.join(map(repr, level))}, or was differentiated there. If it indexes or "
            "branches by them, or calls what JAX does not differentiate (jax.pure_callback, "
            "io_callback, a while_loop), choose infer={'estimator': 'disarm'} or 'score' for these "
            "sites in the guide; or write it with one-hot or 0/1 arithmetic, jnp.where or "
            "jax.lax.cond, and give a callback its derivative by jax.custom_jvp."
        )
        raise


def reward(program: Program, terms: Iterable[Term], name: str) -> jax.Array:
    """Returns the sum of the terms that depend on a site, reduced to the site's plates."""
    frames = frames_of(program.guide_trace[name])
    return stop_gradient(reduce_to((t for t in terms if name in t.deps), frames))


class LocalGradients:
    """One particle's local gradients, level by level.

    :param program: the program at the values drawn.
    :param plan: the estimator of each site.
    :param options: the ELBO's options.
    :param params: the parameters by name.
    :param rewards: each site's downstream terms summed, with its batch dimensions only.
    :param key: a PRNG key for the latents behind the values drawn.
    :param tangents: whether the temperatures learn; may be traced.

    After :meth:`pathwise` the attribute ``taught`` holds the gradient of V = sum |h|^2 in each
    parameter that learns, by name.
    """

    def __init__(
        self,
        program: Program,
        plan: Plan,
        options: Options,
        params: dict[str, Any],
        rewards: Mapping[str, jax.Array],
        key: jax.Array,
        tangents: Any,
    ) -> None:
        self.program, self.plan, self.options, self.params = program, plan, options, params
        self.key, self.tangents = key, tangents
        self.taught: dict[str, jax.Array] = {}
        self.laws: dict[str, Law] = {}
        self.draws: dict[str, Draw] = {}
        for name, site in program.structure.discrete.items():
            if site.law is not None:
                self.laws[name] = law_of(stopped(program.guide_trace[name]["fn"]))
        self.rewards = {n: self._aligned(n, r) for n, r in rewards.items() if n in self.laws}

    @property
    def learning(self) -> tuple[str, ...]:
        """The sites whose temperature is learned."""
        return tuple(n for n in self.plan.soft if self._parameter(n, "temperature") is not None)

    def pathwise(self) -> dict[str, jax.Array]:
        """Returns h by site for REBAR and RELAX, of the logits' shape."""
        found: dict[str, jax.Array] = {}
        for level in self.program.structure.levels(self.plan.soft):
            found.update(self._relaxed(level))
        for name in self.plan.networks:
            if name not in self.plan.soft:
                h, network_of = self._without_program(name)
                found[name] = stop_gradient(h)
                self._teach(name, network_of(2.0 * found[name]))
        return found

    def antithetic(self) -> dict[str, jax.Array]:
        """Returns h by site for DisARM: one more hard evaluation for each level."""
        found: dict[str, jax.Array] = {}
        for level in self.program.structure.levels(self.plan.of("disarm")):
            found.update(self._antithetic(level))
        return found

    def _noise_key(self, name: str, use: int) -> jax.Array:
        index = list(self.program.structure.discrete).index(name)
        return jax.random.fold_in(self.key, 3 * index + use)

    def _noise(self, kind: str, name: str, shape: tuple[int, ...], use: int) -> jax.Array:
        return getattr(jax.random, kind)(
            self._noise_key(name, use), shape, self.laws[name].logits.dtype
        )

    def _draw(self, name: str) -> Draw:
        if name not in self.draws:
            law = self.laws[name]
            value = law.encode(self.program.guide_trace[name]["value"])
            noise = self._noise(law.noise, name, tuple(law.logits.shape), 0)
            self.draws[name] = Draw(law, value, noise)
        return self.draws[name]

    def _free(self, name: str) -> jax.Array:
        law = self.laws[name]
        return law.latent(self._noise(law.noise, name, tuple(law.logits.shape), 1))

    def _aligned(self, name: str, cost: jax.Array) -> jax.Array:
        """Gives a cost over the batch the logits' further dimensions, of size one."""
        batch = len(self.program.guide_trace[name]["fn"].batch_shape)
        extra = self.laws[name].logits.ndim - batch
        return cost.reshape(cost.shape + (1,) * extra)

    def _temperature(self, name: str) -> jax.Array:
        value = self._parameter(name, "temperature")
        return jnp.asarray(self.options.temperature) if value is None else stop_gradient(value)

    def _parameter(self, name: str, which: str) -> jax.Array | None:
        if self.options.learn is False or name not in self.plan.soft:
            return None
        return self.params.get(f"{name}.estimator.{which}")

    def _site_costs(
        self, names: tuple[str, ...], values: dict[str, jax.Array], soft_value: Any
    ) -> tuple[jax.Array, dict[str, jax.Array]]:
        terms = self.program.terms_at(values, soft_value)
        whole = sum((jnp.sum(term.value) for term in terms), start=jnp.zeros(()))
        each = {}
        for name in names:
            frames = frames_of(self.program.guide_trace[name])
            each[name] = self._aligned(
                name, reduce_to((t for t in terms if name in t.deps), frames)
            )
        return whole, each

    def _relaxed(self, level: tuple[str, ...]) -> dict[str, jax.Array]:
        draws = {name: self._draw(name) for name in level}
        free = None if self.options.coupled else {name: self._free(name) for name in level}
        moved = self.program.structure.downstream(frozenset(level))
        # A downstream draw must not first be made inside a transformation.
        below = {n: self._draw(n) for n in moved if n in self.laws and self.laws[n].relaxable}
        temperatures = {name: self._temperature(name) for name in draws | below}

        def cost(x: dict[str, jax.Array], temperatures: dict[str, jax.Array]) -> Any:
            def soft_value(name: str, fn: Any) -> jax.Array | None:
                if name not in below:
                    return None
                return below[name].soft(temperatures[name], law_of(fn))

            return self._site_costs(level, x, soft_value)

        def controls_at(learned: dict[str, jax.Array]) -> dict[str, jax.Array]:
            given = {**temperatures, **learned}
            return rebar.control(draws, lambda x: cost(x, given), given, free)

        rest, networks, etas = {}, {}, {}
        for name in level:
            rest[name], networks[name] = self._without_program(name)
            eta = self._parameter(name, "eta")
            etas[name] = jnp.asarray(self.options.eta) if eta is None else stop_gradient(eta)
        learned = {n: temperatures[n] for n in self.learning if n in temperatures}

        def whole(controls: dict[str, jax.Array]) -> dict[str, jax.Array]:
            return {n: stop_gradient(rest[n] + etas[n] * controls[n]) for n in level}

        def full() -> tuple[Any, Any]:
            controls, pullback = ops.vjp(controls_at, learned)
            return controls, rebar.gradients_in_temperatures(whole(controls), etas, pullback)

        def cheap() -> tuple[Any, Any]:
            return controls_at({}), jax.tree.map(jnp.zeros_like, learned)

        in_temperature: dict[str, jax.Array] = {}
        with _explained(level):
            if not learned:
                controls = controls_at({})
            elif self.tangents is True:
                controls, in_temperature = full()
            else:
                controls, in_temperature = jax.lax.cond(self.tangents, full, cheap)
        found = whole(controls)
        for name, gradient in in_temperature.items():
            # The steps that are left out are made up for: the mean is that of every step.
            self._teach(name, {"temperature": self.options.variance_every * gradient})
        for name, gradient in rebar.gradients_in_etas(found, controls).items():
            if self._parameter(name, "eta") is not None:
                self._teach(name, {"eta": gradient})
            self._teach(name, networks[name](2.0 * found[name]))
        return found

    def _teach(self, name: str, gradients: dict[str, jax.Array]) -> None:
        """Adds to V's gradients in a site's parameters: a temperature acts in the levels above."""
        for which, gradient in gradients.items():
            key = f"{name}.estimator.{which}"
            self.taught[key] = self.taught.get(key, 0.0) + gradient

    def _without_program(self, name: str) -> tuple[jax.Array, Any]:
        """Returns h without the program's control, and the pullback of the network's part."""
        h = self.rewards[name] * self._draw(name).score()
        if name not in self.plan.networks:
            return h, lambda cotangent: {}
        more, pullback = self._network(name)
        return h + more, pullback

    def _network(self, name: str) -> tuple[jax.Array, Any]:
        """Returns the network's part of h, and its pullback to the network's parameters."""
        site, draw = self.program.guide_trace[name], self._draw(name)
        weights = network_parameters(self.params, f"{name}.estimator.")
        assert weights is not None
        side, rank, scale = side_input(site), network_rank(site), scale_of(site)
        free = None if self.options.coupled else self._free(name)

        def control(given: dict[str, jax.Array]) -> jax.Array:
            return rebar.network_control(draw, network.on_site(given, rank, side, scale), free)

        return ops.vjp(control, jax.tree.map(stop_gradient, weights))

    def _antithetic(self, level: tuple[str, ...]) -> dict[str, jax.Array]:
        pairs, values = {}, {}
        for name in level:
            law, site = self.laws[name], self.program.guide_trace[name]
            noise = self._noise("logistic", name, disarm.noise_shape(law), 2)
            pairs[name] = disarm.Antithetic(law, law.encode(site["value"]), noise)
            values[name] = law.decode(pairs[name].value).astype(site["value"].dtype)
        _, mirrored = self._site_costs(level, values, None)
        return {n: pairs[n].local_gradient(self.rewards[n], mirrored[n]) for n in level}
