"""One draw of a guide, with what the model says of it: a function that JAX can vectorise."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from numpyro import handlers

from relaxppl.common import relax
from relaxppl.common.arviz import sampler as common
from relaxppl.common.arviz.correct import Rows
from relaxppl.common.arviz.prototype import check_params
from relaxppl.common.arviz.sampler import Trace
from relaxppl.common.arviz.trace import is_latent, latents
from relaxppl.common.auto.graph import Factor
from relaxppl.common.naming import is_learned
from relaxppl.common.relax.watching import Watched, watched
from relaxppl.estimators.site import Frames
from relaxppl.numpyro.arviz import trace as read
from relaxppl.numpyro.arviz.rerunning import Unobserve, WholePlates
from relaxppl.numpyro.auto.factors import factors_of
from relaxppl.numpyro.registry import HOST
from relaxppl.numpyro.state import StateOf, warn


class Sampler(common.Sampler):
    """A model and its trained guide, whose every run takes a PRNG key."""

    host: ClassVar[Any] = HOST
    read: ClassVar[Any] = read
    params: dict[str, Any]

    def _split(self, key: jax.Array) -> jax.Array:
        return jax.random.split(key, 3)

    def _check_params(self, key: jax.Array) -> None:
        states = [StateOf(fn, self.params) for fn in (self.guide, self.model)]
        guide = handlers.trace(handlers.seed(states[0], key))
        guide_trace = guide.get_trace(*self.args, **self.kwargs)
        seeded = handlers.seed(handlers.replay(states[1], guide_trace), key)
        model_trace = handlers.trace(seeded).get_trace(*self.args, **self.kwargs)
        warn(states, lambda name: not is_learned(name))
        sites = [*model_trace.values(), *guide_trace.values()]
        declared = {s["name"]: s["value"] for s in sites if s["type"] == "param"}
        check_params(declared, self.params, _shapes, "the result of svi.run")

    def _run_guide(
        self, key: Any = None, values: dict[str, Any] | None = None
    ) -> tuple[dict[str, Watched], Trace]:
        with watched(self.hardened) as relaxed:
            trace = self._trace(self.guide, {**self.params, **(values or {})}, key)
        return relaxed, trace

    def _run_model(self, values: dict[str, Any], key: Any = None, unobserve: bool = False) -> Trace:
        with relax.left_discrete() if self.hardened else nullcontext():
            return self._trace(self.model, {**self.params, **values}, key, unobserve)

    def _infer_discrete(self, values: dict[str, Any], key: jax.Array) -> dict[str, Any]:
        # Imported where it is needed: it sets funsor's backend.
        from numpyro.contrib.funsor import infer_discrete

        model = handlers.substitute(self.model, data={**self.params, **values})
        model = handlers.seed(WholePlates(model) if self.whole else model, key)
        drawn = infer_discrete(model, first_available_dim=-1 - self.nesting, rng_key=key)
        with relax.left_discrete():
            trace = handlers.trace(drawn).get_trace(*self.args, **self.kwargs)
        return {name: trace[name]["value"] for name in self.summed}

    def _trace(
        self, fn: Callable[..., Any], data: dict[str, Any], key: jax.Array, unobserve: bool = False
    ) -> Trace:
        fn = handlers.seed(handlers.substitute(fn, data=data), key)
        if self.whole:
            fn = WholePlates(fn)
        if unobserve:
            fn = Unobserve(fn)
        return handlers.trace(fn).get_trace(*self.args, **self.kwargs)

    def _factors(self, guide: Trace, relaxed: dict[str, Watched]) -> list[Factor]:
        def of(fn: Callable[..., Any], values: dict[str, Any]) -> list[Factor]:
            fn = handlers.substitute(fn, data=self.params)
            return factors_of(WholePlates(fn) if self.whole else fn, values, self.args, self.kwargs)

        with watched(self.hardened):
            found = of(self.guide, {n: s["value"] for n, s in guide.items() if is_latent(s)})
        with relax.left_discrete() if self.hardened else nullcontext():
            return found + of(self.model, latents(guide, relaxed, self.hardened))

    _lib: ClassVar[Any] = jnp
    _where = staticmethod(jnp.where)
    _constant = staticmethod(jnp.asarray)
    _compiled = staticmethod(jax.jit)
    _keys = staticmethod(jax.random.split)
    _folded = staticmethod(jax.random.fold_in)

    def _gumbel(self, key: Any, like: Any) -> jax.Array:
        return jax.random.gumbel(key, like.shape, like.dtype)

    def _far(self, one: Any, other: Any) -> jax.Array:
        return jnp.abs(jnp.asarray(one, float) - other).max()

    def _repeated(self, count: int, more: Any, start: Any, rows: Rows) -> Any:
        least = jnp.full(rows.shape, -jnp.inf)
        return jax.lax.fori_loop(0, count, more, (start, least, least, jnp.zeros(())))

    def _spread(self, summed: Callable[[Frames], Any], shape: tuple[int, ...]) -> Any:
        return jnp.broadcast_to(summed(frozenset()), shape)


def _shapes(value: Any) -> Any:
    return jax.tree.map(jnp.shape, value)
