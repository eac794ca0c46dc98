"""Stock SVI of NumPyro with a progress bar; pyro_fit.py mirrors this file."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax, random
from numpy.typing import NDArray
from numpyro.infer import SVI, Trace_ELBO
from numpyro.optim import Adam

from models.common.progress import train_with_progress


def fit(
    model: Callable,
    guide: Callable,
    steps: int,
    *,
    learning_rate: float,
    seed: int,
    elbo: Any = None,
    chunk: int = 100,
    description: str = "numpyro",
    show: bool = True,
) -> tuple[dict[str, Any], NDArray[np.float64], float]:
    """Train with Adam.

    :param model: without arguments.
    :param guide: without arguments.
    :param steps: optimiser steps.
    :param learning_rate: of Adam.
    :param seed: of every draw.
    :param elbo: None for Trace_ELBO().
    :param chunk: steps between two updates of the bar.
    :param description: stands before the bar.
    :param show: whether to draw the bar.
    :returns: the parameters, as NumPy arrays by name; the losses (steps,); seconds per step.
    :raises RunFailedError: a loss is not finite.
    """
    svi = SVI(model, guide, Adam(learning_rate), elbo or Trace_ELBO())
    state = svi.init(random.key(seed))

    # One compilation for every number of steps up to a chunk.
    @jax.jit
    def take(state: Any, count: Any) -> tuple[Any, Any]:
        def step(index: Any, carried: tuple[Any, Any]) -> tuple[Any, Any]:
            state, loss = svi.update(carried[0])
            return state, carried[1].at[index].set(loss)

        return lax.fori_loop(0, count, step, (state, jnp.zeros(chunk)))

    def advance(size: int) -> NDArray[np.floating]:
        nonlocal state
        state, losses = take(state, size)
        return np.asarray(losses)[:size]

    losses, step_seconds, _ = train_with_progress(
        steps, advance, chunk=chunk, description=description, show=show
    )
    return jax.tree.map(np.asarray, svi.get_params(state)), losses, step_seconds
