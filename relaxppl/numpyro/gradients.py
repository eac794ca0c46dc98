"""Draws of a loss's gradient at fixed parameters, compiled."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro

from relaxppl.common.diagnostics import Moments
from relaxppl.common.naming import is_learned
from relaxppl.estimators.elbo import EstimatorELBO
from relaxppl.numpyro.declared import Declared, Tree
from relaxppl.numpyro.elbo.parameters import PreparedGuide


class GradientSampler:
    """Draws gradients in a compiled loop, which also lets the ELBO learn its own parameters.

    :param elbo: the loss.
    :param model: the model.
    :param guide: the guide, not prepared.
    :param params: constrained values by name; None for the initial ones.
    :param args: positional arguments of model and guide.
    :param kwargs: keyword arguments of model and guide.
    :param rng_key: a PRNG key.
    :param rate: the step size at which the ELBO learns.
    :param compiler_options: of ``jax.jit``.
    :raises ValueError: if params does not fit.
    """

    def __init__(
        self,
        elbo: Any,
        model: Callable[..., Any],
        guide: Callable[..., Any],
        params: Tree | None,
        args: tuple[Any, ...],
        kwargs: Tree,
        rng_key: jax.Array,
        rate: float = 0.02,
        compiler_options: dict[str, Any] | None = None,
    ) -> None:
        if isinstance(guide, PreparedGuide):
            guide = guide.guide
        self.elbo, self.model = elbo, model
        self.guide = elbo.prepare(guide) if isinstance(elbo, EstimatorELBO) else guide
        self.args, self.kwargs, self.rate = args, kwargs, rate
        init_key, self._key = jax.random.split(rng_key)
        self.declared = Declared(model, self.guide, params, args, kwargs, init_key)
        # A weak type would not come back from the loop, which would be compiled again for that.
        self._learned = jax.tree.map(_strong, self.declared.learned)
        self._state = jax.tree.map(_strong, self.declared.state)
        zeros = jax.tree.map(jnp.zeros_like, self._learned)
        self._adam = (zeros, zeros, jnp.zeros(()))
        self._run = jax.jit(self._loop, compiler_options=compiler_options)
        self._evaluations: list[int] = []
        self._held = False

    def without_average(self) -> GradientSampler:
        """Returns a sampler whose baseline stays zero, by the same compiled program."""
        other = copy.copy(self)
        other._held = True
        zero = lambda n, x: jax.tree.map(jnp.zeros_like, x) if is_learned(n) else x  # noqa: E731
        other._state = {n: zero(n, x) for n, x in self._state.items()}
        return other

    @property
    def discrete(self) -> list[str]:
        """The guide's discrete latent sites."""
        return self.declared.discrete

    @property
    def evaluations(self) -> float:
        """Evaluations of the model for one gradient."""
        if not self._evaluations:
            self._advance(1, 0.0, True)
            jax.effects_barrier()
        return float(len(self._evaluations))

    def tune(self, steps: int) -> None:
        """Lets the ELBO learn what the caller's params did not give, for some steps."""
        if self.declared.fresh and steps:
            self._advance(steps, self.rate, False)

    def draw(self, count: int) -> Moments:
        """Draws gradients in the unconstrained parameters of the model and the guide."""
        n, mean, deviation = self._advance(count, 0.0, False)
        loss, grads = mean
        loss_deviation, deviations = deviation
        return Moments(
            int(n), _named(grads), _named(deviations), float(loss), float(loss_deviation)
        )

    def _advance(self, count: int, rate: float, counting: bool) -> Any:
        key, self._key = jax.random.split(self._key)
        given = (self.declared.program, self._learned, self._state, self._adam)
        moments, self._learned, self._state, self._adam = jax.block_until_ready(
            self._run(key, *given, count, rate, counting, self._held)
        )
        return moments

    def _loop(
        self, key: Any, program: Tree, learned: Tree, state: Tree, adam: Any, *call: Any
    ) -> Any:
        count, rate, counting, held = call
        one = partial(self._gradient, program, counting)
        zeros = (jnp.zeros(()), jax.tree.map(jnp.zeros_like, program))

        def body(i: Any, carry: Any) -> Any:
            (n, mean, deviation), learned, state, adam = carry
            loss, (grads, learned_grads), new = one(jax.random.fold_in(key, i), learned, state)
            state = {
                n: jnp.where(held, state[n], x) if is_learned(n) else x for n, x in new.items()
            }
            learned, adam = _adam_step(learned, learned_grads, adam, rate)
            n, sample = n + 1, (jnp.asarray(loss, zeros[0].dtype), grads)
            gap = jax.tree.map(jnp.subtract, sample, mean)
            mean = jax.tree.map(lambda m, g: m + g / n, mean, gap)
            deviation = jax.tree.map(
                lambda d, g, x, m: d + g * (x - m), deviation, gap, sample, mean
            )
            return (n, mean, deviation), learned, state, adam

        return jax.lax.fori_loop(0, count, body, ((0, zeros, zeros), learned, state, adam))

    def _gradient(self, program: Tree, counting: Any, key: Any, learned: Tree, state: Tree) -> Any:
        declared = self.declared
        model = _Counted(self.model, counting, self._evaluations.append)

        def loss(program: Tree, learned: Tree) -> Any:
            params = {**declared.constrained(program), **declared.constrained(learned), **state}
            call = (key, params, model, self.guide, *self.args)
            if not state:
                return self.elbo.loss(*call, **self.kwargs), state
            out = self.elbo.loss_with_mutable_state(*call, **self.kwargs)
            new = out["mutable_state"] or {}
            return out["loss"], {n: new.get(n, x) for n, x in state.items()}

        (value, new), grads = jax.value_and_grad(loss, (0, 1), has_aux=True)(program, learned)
        return value, grads, new


@cache
def quick_options() -> dict[str, Any] | None:
    """Returns options of ``jax.jit`` to compile fast and run slower; None where there are none."""
    if jax.default_backend() != "cpu":
        return None
    level = {"xla_backend_optimization_level": 0}
    # The second is not known to every version of XLA.
    for options in ({**level, "xla_cpu_use_fusion_emitters": False}, level):
        try:
            jax.jit(jnp.negative, compiler_options=options)(0.0)
        except Exception:
            continue
        return options
    return None


class _Counted:
    """A model that tells when it really runs, which tracing for dependencies is not.

    :param model: the model.
    :param counting: whether to tell; may be traced.
    :param tell: called once for each run of each particle.
    """

    def __init__(self, model: Any, counting: Any, tell: Callable[[Any], Any]) -> None:
        self.model, self.counting, self.tell = model, counting, tell

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        # A number that is batched where the particles are: one call for each of them.
        one = jnp.sum(_data(numpyro.prng_key())).astype(jnp.int32)
        tell = partial(jax.debug.callback, self.tell)
        jax.lax.cond(self.counting, tell, lambda x: None, one)
        return self.model(*args, **kwargs)


def _strong(x: Any) -> Any:
    return x if jnp.issubdtype(x.dtype, jax.dtypes.prng_key) else jnp.asarray(x, dtype=x.dtype)


def _data(key: Any) -> Any:
    typed = jnp.issubdtype(key.dtype, jax.dtypes.prng_key)
    return jax.random.key_data(key) if typed else key


def _adam_step(params: Tree, grads: Tree, adam: Any, rate: Any) -> Any:
    first, second, step = adam
    step = step + 1.0
    first = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, first, grads)
    second = jax.tree.map(lambda v, g: 0.99 * v + 0.01 * g**2, second, grads)

    def move(x: Any, m: Any, v: Any) -> Any:
        size = (m / (1.0 - 0.9**step)) / (jnp.sqrt(v / (1.0 - 0.99**step)) + 1e-8)
        return x - rate * size

    return jax.tree.map(move, params, first, second), (first, second, step)


def _named(tree: Tree) -> dict[str, np.ndarray]:
    """Returns arrays by parameter, those of a tree under one name by their paths too."""
    found = {}
    for name, value in tree.items():
        for path, leaf in jax.tree_util.tree_flatten_with_path(value)[0]:
            found[name + jax.tree_util.keystr(path)] = np.asarray(leaf, dtype=np.float64)
    return found
