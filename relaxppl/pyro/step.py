"""The number of optimisation steps done, for a temperature that follows it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pyro
import torch
from pyro.optim import PyroOptim

from relaxppl.common.naming import STEP


def current_step() -> torch.Tensor:
    """Returns how many steps the optimiser has taken, a scalar; 0 outside SVI.

    It is the parameter "relaxppl_step", which an optimiser wrapped in :func:`count_steps` advances.
    """
    return pyro.param(STEP, lambda: torch.zeros(())).detach()


class count_steps(PyroOptim):
    """An optimiser that also counts its steps, for :func:`current_step`.

    The count is in the parameter store, and so in what is saved of it.

    :param optim: an optimiser of pyro.optim.
    :raises TypeError: if it is none.
    """

    def __init__(self, optim: Any) -> None:
        if not isinstance(optim, PyroOptim):
            raise TypeError(f"count_steps: expected an optimiser of pyro.optim, got {optim!r}")
        self.optim = optim

    def __call__(self, params: Iterable[torch.Tensor], *args: Any, **kwargs: Any) -> None:
        """Takes one step of the optimiser and counts it.

        :param params: the unconstrained parameters, as ``SVI`` gives them.
        """
        count = dict(pyro.get_param_store().named_parameters()).get(STEP)
        self.optim([p for p in params if p is not count], *args, **kwargs)
        if count is not None:
            with torch.no_grad():
                count.add_(1.0)

    def get_state(self) -> dict[str, Any]:
        """Returns the optimiser's state, by the names of the parameters."""
        return self.optim.get_state()

    def set_state(self, state_dict: dict[str, Any]) -> None:
        """Sets the optimiser's state.

        :param state_dict: what :meth:`get_state` returned.
        """
        self.optim.set_state(state_dict)

    def __getattr__(self, name: str) -> Any:
        if name == "optim":
            raise AttributeError(name)
        return getattr(self.optim, name)
