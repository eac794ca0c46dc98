"""A training loop with a progress bar, compiled once."""

from __future__ import annotations

import copy
import os
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from numpyro.infer import SVI
from numpyro.infer.svi import SVIRunResult, SVIState
from numpyro.optim import _NumPyroOptim

from relaxppl.common import checkpoint as saving
from relaxppl.common import fit as common
from relaxppl.common.docstring import documented_by
from relaxppl.common.naming import STEP, is_learned
from relaxppl.common.relax.watching import watched
from relaxppl.numpyro.checkpoint import load, save
from relaxppl.numpyro.step import counted


@documented_by(common.check)
def fit(
    svi: SVI,
    rng_key: jax.Array,
    num_steps: int,
    *args: Any,
    progress: bool | None = None,
    stable_update: bool = False,
    init_state: SVIState | None = None,
    init_params: dict[str, Any] | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    checkpoint_every: int = 1000,
    **kwargs: Any,
) -> SVIRunResult:
    """Trains as ``svi.run`` does, to the same result, with a bar that says how it goes.

    :param rng_key: a PRNG key.
    :param stable_update: as of ``svi.run``.
    :param init_state: as of ``svi.run``.
    :param init_params: as of ``svi.run``.
    :param checkpoint: a file for the whole state: parameters, mutable state, the optimiser and its
        count of steps, and the random key. If it is there, the training goes on from it, bit for
        bit as without the break, until ``num_steps`` in all; it is replaced as a whole every so
        many steps and at the end.
    :returns: the parameters, the state and the losses (num_steps,), as of ``svi.run``.
    """
    common.check(num_steps, progress)
    cls, path = common.bar_class(progress), saving.check(checkpoint_every, checkpoint)
    state = init_state
    if state is None:
        state = svi.init(rng_key, *args, init_params=init_params, **kwargs)
    # An optimiser with a search of its own does not say what gradients it saw.
    plain = type(svi.optim).eval_and_update is _NumPyroOptim.eval_and_update
    watcher = _Gradients(svi.optim) if cls is not None and plain else None
    run = copy.copy(svi)
    step = run.stable_update if stable_update else run.update
    dtype = jax.eval_shape(lambda s: step(s, *args, **kwargs)[1], state).dtype
    losses, done = jnp.zeros(num_steps, dtype), 0
    if path is not None and path.exists():
        state, losses, done = load(path, svi, state, losses)
    if watcher is not None:
        run.optim = watcher
        state = state._replace(optim_state=watcher.begin(state.optim_state))

    @jax.jit
    def take(state: SVIState, losses: jax.Array, start: Any, stop: Any) -> Any:
        def body(index: Any, carried: tuple[SVIState, jax.Array]) -> tuple[SVIState, jax.Array]:
            state, losses = carried
            state, loss = step(state, *args, **kwargs)
            return state, losses.at[index].set(loss)

        return lax.fori_loop(start, stop, body, (state, losses))

    def kept(state: SVIState, losses: jax.Array, done: int) -> None:
        if path is not None and (done % checkpoint_every == 0 or done == num_steps):
            if watcher is not None:
                state = state._replace(optim_state=watcher.end(state.optim_state))
            save(path, svi, state, losses, done)

    def before_saving(done: int, size: int) -> int:
        left = num_steps - done
        return min(size, left if path is None else checkpoint_every - done % checkpoint_every, left)

    if cls is None or done == num_steps:
        while done < num_steps:
            size = before_saving(done, num_steps)
            state, losses = take(state, losses, done, done + size)
            done += size
            kept(state, losses, done)
        if watcher is not None:
            state = state._replace(optim_state=watcher.end(state.optim_state))
        return SVIRunResult(svi.get_params(state), state, losses)
    with common.Bar(cls, num_steps) as bar:
        bar.skip(done)
        size = 1
        # The first chunk traces the programs, and so shows their temperatures.
        with watched(hardened=False) as sites:
            state, losses = take(state, losses, done, done + size)
        while True:
            params = run.get_params(state)
            bound = -float(np.mean(losses[bar.done : bar.done + size]))
            variance = None
            if watcher is not None:
                variance, optim_state = watcher.read(state.optim_state)
                state = state._replace(optim_state=optim_state)
            count = 0.0 if STEP in params and counted(params) is None else counted(params)
            shown = common.temperatures(sites, params, svi.loss, count)
            chunk = size
            size = bar.next_chunk(chunk)
            bar.show(chunk, bound, variance, shown)
            kept(state, losses, bar.done)
            if bar.done == num_steps:
                break
            size = before_saving(bar.done, size)
            state, losses = take(state, losses, bar.done, bar.done + size)
            losses.block_until_ready()
    if watcher is not None:
        state = state._replace(optim_state=watcher.end(state.optim_state))
    return SVIRunResult(svi.get_params(state), state, losses)


class _Gradients(common.Gradients, _NumPyroOptim):
    def begin(self, state: Any) -> Any:
        """Returns this optimiser's state, given the other's."""
        iteration, inner = state
        seen = _observed(self.optim.get_params(state))
        zeros = jax.tree.map(jnp.zeros_like, seen)
        return iteration, (inner, (zeros, jnp.zeros(()), jnp.zeros((), int), jnp.zeros((), int)))

    def end(self, state: Any) -> Any:
        """Returns the other optimiser's state."""
        iteration, (inner, _) = state
        return iteration, inner

    def read(self, state: Any) -> tuple[float | None, Any]:
        """Returns the variance since the last reading, and the state to go on with."""
        iteration, (inner, (last, total, pairs, steps)) = state
        variance = float(total) / int(pairs) if int(pairs) else None
        again = (last, jnp.zeros_like(total), jnp.zeros_like(pairs), steps)
        return variance, (iteration, (inner, again))

    def update(self, g: Any, state: Any, value: Any = None) -> Any:
        iteration, (inner, (last, total, pairs, steps)) = state
        seen = _observed(g)
        squares = jax.tree.map(lambda a, b: jnp.sum(jnp.square(a - b)), seen, last)
        half = 0.5 * sum(jax.tree.leaves(squares), start=jnp.zeros(()))
        known = steps > 0
        total = total + jnp.where(known, half, 0.0).astype(total.dtype)
        iteration, inner = self.optim.update(g, (iteration, inner), value=value)
        counts = (pairs + known.astype(pairs.dtype), steps + 1)
        return iteration, (inner, (seen, total, *counts))

    def get_params(self, state: Any) -> Any:
        return self.optim.get_params(self.end(state))


def _observed(gradient: dict[str, Any]) -> dict[str, Any]:
    """Returns the gradient without the count of steps and the parameters of estimators."""
    return {
        name: value for name, value in gradient.items() if name != STEP and not is_learned(name)
    }
