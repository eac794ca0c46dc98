"""Stock SVI of Pyro with a progress bar; numpyro_fit.py mirrors this file."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pyro
from numpy.typing import NDArray
from pyro.infer import SVI, Trace_ELBO
from pyro.optim import Adam

from models.common.progress import train_with_progress


def fit(
    model: Callable,
    guide: Callable,
    steps: int,
    *,
    learning_rate: float,
    seed: int,
    elbo: Any = None,
    chunk: int = 10,
    description: str = "pyro",
    show: bool = True,
) -> tuple[dict[str, Any], NDArray[np.float64], float]:
    """Train with Adam, from an empty parameter store.

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
    pyro.clear_param_store()
    pyro.set_rng_seed(seed)
    svi = SVI(model, guide, Adam({"lr": learning_rate}), elbo or Trace_ELBO())

    def advance(size: int) -> NDArray[np.floating]:
        return np.array([svi.step() for _ in range(size)])

    losses, step_seconds, _ = train_with_progress(
        steps, advance, chunk=chunk, description=description, show=show
    )
    store = pyro.get_param_store()
    return {k: v.detach().numpy().copy() for k, v in store.items()}, losses, step_seconds
