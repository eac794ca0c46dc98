"""The number of optimisation steps done, for a temperature that follows it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpyro
from numpyro.optim import _NumPyroOptim, optax_to_numpyro

from relaxppl.common.naming import STEP


def current_step() -> Any:
    """Returns how many steps the optimiser has taken, a scalar; 0 outside SVI.

    It is the parameter "relaxppl_step", which an optimiser wrapped in :func:`count_steps` advances.
    """
    # Empty until an optimiser counts, which alone makes a scalar of it: a trace can tell that.
    count = numpyro.param(STEP, jnp.zeros((0,)))
    return jnp.zeros(()) if jnp.ndim(count) else count


def counted(params: Mapping[str, Any]) -> Any:
    """Returns the count of steps among parameters, or None where no optimiser counts."""
    count = params.get(STEP)
    return None if count is None or jnp.ndim(count) else count


class count_steps(_NumPyroOptim):
    """An optimiser that also counts its steps, for :func:`current_step`.

    The count is part of the optimiser's state, so ``SVI.update`` and ``SVI.run`` carry it, with any
    number of particles, any ELBO and without compiling again.

    :param optim: an optimiser of NumPyro or of optax.
    :raises TypeError: if it is neither.
    """

    def __init__(self, optim: Any) -> None:
        if not isinstance(optim, _NumPyroOptim):
            if not (hasattr(optim, "init") and hasattr(optim, "update")):
                raise TypeError(
                    f"count_steps: expected an optimiser of numpyro.optim or optax, got {optim!r}"
                )
            optim = optax_to_numpyro(optim)
        self.optim = optim

    def init(self, params: Any) -> Any:
        rest = {name: value for name, value in params.items() if name != STEP}
        iteration, state = self.optim.init(rest)
        count = params.get(STEP)
        return iteration, (state, count if counted(params) is count else jnp.zeros(()))

    def update(self, g: Any, state: Any, value: Any = None) -> Any:
        iteration, (inner, count) = state
        rest = {name: gradient for name, gradient in g.items() if name != STEP}
        iteration, inner = self.optim.update(rest, (iteration, inner), value=value)
        return iteration, (inner, None if count is None else count + 1)

    def get_params(self, state: Any) -> Any:
        iteration, (inner, count) = state
        params = self.optim.get_params((iteration, inner))
        # A program that never asks for the step has no such parameter.
        return params if count is None else {**params, STEP: count}
