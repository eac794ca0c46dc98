"""A model and its guide as a sum of terms, at the values drawn or at others."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
from numpyro import handlers
from numpyro.infer.util import get_importance_trace
from numpyro.util import _validate_model, check_model_guide_match

from relaxppl.common import program as common
from relaxppl.common.sequences import sequence_of
from relaxppl.estimators.program import SoftValue, Term
from relaxppl.estimators.site import Candidate, Frame, Site
from relaxppl.estimators.ways_out import AT_HARD_VALUES
from relaxppl.numpyro.elbo import exact_kl, replay
from relaxppl.numpyro.elbo.batched import TOGETHER, each
from relaxppl.numpyro.elbo.counts import count_of
from relaxppl.numpyro.elbo.laws import base_of, extended, law_of, law_type, stopped, unmasked
from relaxppl.numpyro.elbo.structure import Structure, is_scanned
from relaxppl.numpyro.elbo.summed_out import frames_of, groups_of
from relaxppl.numpyro.elbo.terms import Terms


class Program:
    """One draw of the guide, the model at it, and both again at other values of some sites.

    :param model: the model.
    :param guide: the guide.
    :param args: positional arguments of both.
    :param kwargs: keyword arguments of both.
    :param params: the parameters and the mutable state by name.
    :param structure: what depends on what.
    :param keys: PRNG keys of the model and of the guide.
    :param plate_key: a key for the plates' subsamples, or None to use the two.
    :param use_exact_kl: whether to integrate the pairs of sites that can be.
    :param noise_key: a PRNG key for the noise of the estimators.
    :param factors: by discrete site the factor of its exact KL, the rest of which is sampled; None
        integrates it all.
    :param stop_masses: whether log q of a discrete site is stopped in the terms.
    :param hold_draws: whether the guide's reparameterised draws carry no gradient.
    :param batch: how many values of sites :meth:`each` computes at a time; None leaves it to it.
    """

    def __init__(
        self,
        model: Callable[..., Any],
        guide: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        params: dict[str, Any],
        structure: Structure,
        keys: tuple[jax.Array, jax.Array],
        plate_key: jax.Array | None = None,
        use_exact_kl: bool = False,
        noise_key: jax.Array | None = None,
        factors: Mapping[str, jax.Array] | None = None,
        stop_masses: bool = True,
        hold_draws: bool = False,
        batch: int | None = None,
    ) -> None:
        self.batch = batch
        self.args, self.kwargs = args, kwargs
        self.structure, self.noise_key = structure, noise_key
        self.stopped_params = jax.tree.map(jax.lax.stop_gradient, params)

        def seeded(fn: Callable[..., Any], key: jax.Array) -> Callable[..., Any]:
            if plate_key is not None:
                hidden = ["sample", "prng_key", "control_flow"]
                fn = handlers.seed(fn, plate_key, hide_types=hidden)
            return handlers.seed(fn, key)

        self.model = seeded(structure.summing(model), keys[0])
        self.guide = seeded(guide, keys[1])
        if hold_draws:
            self.guide = replay.Held(self.guide)
        self.model_trace, self.guide_trace = get_importance_trace(
            self.model, self.guide, args, kwargs, params
        )
        self.groups = groups_of(self.model_trace, structure.summed)
        grouped = {name for group in self.groups for name in group.sites}
        # Beside a summed site the model's law has more dimensions than the guide's.
        seen = {n: s for n, s in self.guide_trace.items() if n in grouped}
        check_model_guide_match({**self._plates, **self.model_trace, **seen}, self.guide_trace)
        _validate_model(self.model_trace, plate_warning="strict")
        self.discrete = frozenset(structure.discrete)
        pairs = exact_kl.candidates(structure) if use_exact_kl else frozenset()
        self.integrated = frozenset(
            n for n in pairs if exact_kl.kl(self.guide_trace[n], self.model_trace[n]) is not None
        )
        self.factors: dict[str, jax.Array] = {}
        if factors is not None:
            self.factors = {
                n: jax.lax.stop_gradient(c)
                for n, c in factors.items()
                if n in self.integrated and self._law_type(n) is not None
            }
            self.integrated -= self.discrete - self.factors.keys()
        self._made = Terms(
            structure, self.discrete, self.integrated, self.factors, self.groups, stop_masses
        )

    @property
    def _plates(self) -> dict[str, Any]:
        """The guide's plates that the model has inside scan, where its trace does not show them."""
        sites = (s for s in self.model_trace.values() if s["type"] == "sample")
        inside = {frame.name for s in sites for frame in s["cond_indep_stack"]}
        return {n: s for n, s in self.guide_trace.items() if s["type"] == "plate" and n in inside}

    def _law_type(self, name: str) -> Any:
        """Returns the law that a site has in the guide and in the model, or None."""
        guide, model = (law_type(t[name]["fn"]) for t in (self.guide_trace, self.model_trace))
        return guide if guide is model else None

    def mutable_state(self) -> dict[str, Any]:
        """Returns the values of the program's own mutable sites."""
        return {
            name: site["value"]
            for trace in (self.guide_trace, self.model_trace)
            for name, site in trace.items()
            if site["type"] == "mutable"
        }

    @cached_property
    def terms(self) -> list[Term]:
        """Every term at the values drawn, differentiable in the parameters.

        log q of a discrete site is stopped where the bound is a mean over draws: there the mean of
        its gradient is zero.
        """
        return self._made.of(self.model_trace, self.guide_trace, frozenset(), None)

    @cached_property
    def sites(self) -> dict[str, Site]:
        """The guide's discrete sites."""
        laws = self.structure.guide_laws
        return {
            name: site_of(self.guide_trace[name], candidate, laws[name] & self.discrete - {name})
            for name, candidate in self.structure.discrete.items()
        }

    def plate_scale(self, frame: Frame) -> float:
        """Returns what terms are multiplied by for the subsample of a plate that they lie in."""
        plate = self.guide_trace.get(frame.name) or self.model_trace.get(frame.name)
        return 1.0 if plate is None else plate["args"][0] / len(plate["value"])

    def downstream(self, names: frozenset[str]) -> frozenset[str]:
        """Returns the guide's sites whose law depends on some discrete sites."""
        return self.structure.downstream(names)

    def log_ratio(self, name: str, encoded: jax.Array) -> jax.Array:
        """Returns log p - log q of a site alone at an encoded value, hard or relaxed."""
        log_p, log_q = (
            _extended(stopped(trace[name]["fn"]), encoded)
            for trace in (self.model_trace, self.guide_trace)
        )
        scale = self.guide_trace[name]["scale"]
        return log_p - log_q if scale is None else scale * (log_p - log_q)

    def noise(self, kind: str, shape: tuple[int, ...], site: Site, use: int) -> jax.Array:
        """Returns standard noise of a law, apart for each site and use."""
        assert self.noise_key is not None
        index = list(self.structure.discrete).index(site.name)
        key = jax.random.fold_in(self.noise_key, 3 * index + use)
        return getattr(jax.random, kind)(key, shape, site.parameters.dtype)

    def each(
        self, compute: Callable[[dict[str, jax.Array]], jax.Array], values: dict[str, jax.Array]
    ) -> jax.Array:
        """Returns what a function that evaluates the program makes of each of several values."""
        return each(compute, values, self.batch or TOGETHER)

    def explained(self, level: tuple[str, ...]) -> AbstractContextManager[None]:
        """Explains what fails while the program runs at relaxed values of some sites."""
        return common.explained(
            (TypeError, ValueError),
            "This was raised while the model or the guide ran at relaxed values of "
            f"{', '.join(map(repr, level))}, or was differentiated there. If it indexes or "
            "branches by them, or calls what JAX does not differentiate (jax.pure_callback, "
            f"io_callback, a while_loop), choose {AT_HARD_VALUES} for "
            "these sites in the guide; or write it with one-hot or 0/1 arithmetic, jnp.where "
            "or jax.lax.cond, and give a callback its derivative by jax.custom_jvp.",
        )

    def evaluate(
        self,
        at: Mapping[str, jax.Array],
        soft_value: SoftValue | None = None,
        keep: Callable[[Term], bool] = lambda term: True,
    ) -> list[Term]:
        """Returns the terms that depend on some sites, at other values of them.

        The model runs once. The guide runs only if laws in it depend on those sites, with the
        same randomness; its other sites keep their values, and every parameter is stopped.

        :param at: the sites' values.
        :param soft_value: gives the downstream discrete sites their values; one to which it gives
            None keeps its own. Without it they are drawn again.
        :param keep: whether a term is wanted.
        """
        names = frozenset(at)
        moved = self.structure.downstream(names)
        held: set[str] = set()
        guide_trace = (
            self._guide_again(at, moved, soft_value, held)
            if moved or self.structure.runs_guide(names)
            else {n: replay.held(s, at.get(n)) for n, s in self.guide_trace.items()}
        )
        model = handlers.substitute(
            handlers.replay(self.model, guide_trace), data=self.stopped_params
        )
        model_trace = handlers.trace(model).get_trace(*self.args, **self.kwargs)
        soft = frozenset() if soft_value is None else (names | (moved & self.discrete)) - held
        return self._made.of(model_trace, guide_trace, soft, names, keep)

    def _guide_again(
        self,
        values: Mapping[str, jax.Array],
        moved: frozenset[str],
        soft_value: SoftValue | None,
        held: set[str],
    ) -> dict[str, Any]:
        def choose(msg: dict[str, Any], before: dict[str, Any]) -> Any:
            name = msg["name"]
            if name in values:
                return values[name]
            if name not in moved:
                return jax.lax.stop_gradient(before["value"])
            inside = is_scanned(before)
            if name not in self.discrete or soft_value is None:
                if not inside:  # There the same keys come again by themselves.
                    msg["kwargs"]["rng_key"] = before["kwargs"]["rng_key"]
                return None
            if inside:
                raise _relaxed_above_scan(name, values)
            fn = msg["fn"]
            value = soft_value(name, None if law_type(fn) is None else law_of(fn))
            if value is None:
                held.add(name)
                return jax.lax.stop_gradient(before["value"])
            return value

        guide = handlers.substitute(
            replay.Again(self.guide, self.guide_trace, choose), data=self.stopped_params
        )
        return handlers.trace(guide).get_trace(*self.args, **self.kwargs)


def site_of(site: dict[str, Any], candidate: Candidate, upstream: frozenset[str]) -> Site:
    """Returns a discrete site of a guide's trace as the estimators see it."""
    fn, given, scale = site["fn"], site["infer"].get("estimator_input"), site["scale"]
    return Site(
        name=site["name"],
        fn=fn,
        candidate=candidate,
        law=None if law_type(fn) is None else law_of(fn),
        count=count_of(fn),
        sequence=sequence_of(base_of(fn), tuple(fn.batch_shape) + tuple(fn.event_shape)),
        value=site["value"],
        frames=frames_of(site),
        batch_rank=len(fn.batch_shape),
        upstream=upstream,
        scale=jnp.asarray(1.0) if scale is None else jax.lax.stop_gradient(jnp.asarray(scale)),
        side=None if given is None else jax.lax.stop_gradient(jnp.asarray(given)),
        log_prob=lambda: unmasked(fn).log_prob(site["value"]),
    )


def _extended(fn: Any, encoded: jax.Array) -> jax.Array:
    log_prob = extended(fn, encoded)
    assert log_prob is not None  # or the site would have no factor
    return log_prob


def _relaxed_above_scan(name: str, above: Mapping[str, Any]) -> NotImplementedError:
    sites = ", ".join(map(repr, above))
    return NotImplementedError(
        f"site {name!r} lies inside scan and its law depends on {sites}: its steps cannot be "
        f"relaxed one by one where {sites} is relaxed. Choose {AT_HARD_VALUES} "
        f"for {sites} in the guide; or write the steps as a Python loop, a site each"
    )
