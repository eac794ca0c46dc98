"""What an estimator learns and remembers: Pyro parameters of its own, and decaying averages."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import pyro
import torch
from pyro.distributions import constraints

from relaxppl.common.naming import STEP, TEMPERATURE
from relaxppl.estimators import network, score
from relaxppl.pyro.step import current_step


class Counter:
    """Reads the count of the optimiser's steps, and warns where nobody counts."""

    def __init__(self) -> None:
        self._count: float | None = None
        self._versions: dict[str, tuple[int, int]] = {}
        self._warned = False

    def read(self) -> float:
        """Returns how many steps the optimiser has taken."""
        count, before = float(current_step()), self._versions
        named = pyro.get_param_store().named_parameters()
        # An optimiser writes in place, which torch numbers.
        self._versions = {n: (id(p), p._version) for n, p in named if n != STEP}
        moved = any(
            n in before and before[n][0] == one and before[n][1] < version
            for n, (one, version) in self._versions.items()
        )
        if moved and count == self._count and not self._warned:
            self._warned = True
            warnings.warn(
                "debias is a schedule of the optimiser's steps, and the parameters move while "
                f"{STEP!r} stays at {count:g}: wrap the optimiser, SVI(model, guide, "
                "count_steps(optim), elbo), or give debias as a number",
                stacklevel=2,
            )
        self._count = count
        return count


class Learned:
    """The parameters that the estimators learn, during one step.

    What is read here carries no graph. Gradients are handed back with :meth:`learn` and reach the
    parameters through :attr:`surrogate` alone, so that none leaks into the program's or from it.

    :param flags: by how rarely temperatures learn, whether they learn in this step. If not, SVI
        does not get to see them: an optimiser with momentum would move them all the same.
    :param counter: reads the count of steps.
    """

    def __init__(self, flags: Mapping[int, bool], counter: Counter) -> None:
        self._counter = counter
        self._tangents = all(flags.values())
        self.surrogate: torch.Tensor | float = 0.0
        self._read: dict[str, torch.Tensor] = {}

    def read(
        self,
        name: str,
        initial: Any,
        like: torch.Tensor,
        positive: bool = False,
    ) -> torch.Tensor:
        """Returns a parameter of the dtype and device of ``like``, without its graph.

        :param initial: its first value, or a function that makes it when it is wanted.
        """
        store = pyro.get_param_store()
        if not self._tangents and name.endswith(TEMPERATURE) and name in store:
            return store[name].detach().to(like)
        if name not in self._read:

            def start() -> torch.Tensor:
                value = initial() if callable(initial) else initial
                return torch.as_tensor(value, dtype=like.dtype, device=like.device)

            constraint = constraints.positive if positive else constraints.real
            self._read[name] = pyro.param(name, start, constraint=constraint)
        return self._read[name].detach().to(like)

    @property
    def names(self) -> list[str]:
        """The parameters that are learned in this step."""
        return list(self._read)

    def steps(self) -> float:
        """Returns how many steps the optimiser has taken."""
        return self._counter.read()

    def learn(self, name: str, gradient: torch.Tensor) -> None:
        """Adds to :attr:`surrogate` what gives a parameter this gradient."""
        parameter = self._read[name]
        self.surrogate = self.surrogate + (gradient.detach().to(parameter) * parameter).sum()

    def network(self, prefix: str, features: int, hidden: int, like: torch.Tensor) -> Any:
        """Returns the parameters of a default network, by their short names."""
        # At every step but the first the values are there; to draw them takes as long as a step.
        initial = functools.cache(lambda: network.initial(features, hidden))
        return {
            key: self.read(f"{prefix}.{key}", lambda key=key: initial()[key], like)
            for key in network.initial(1, 1)
        }

    def constant(self, value: float, like: torch.Tensor) -> torch.Tensor:
        """Returns a scalar that is not learned, ()."""
        return like.new_full((), value)

    def average(self, name: str, cost: torch.Tensor, decay: float) -> torch.Tensor:
        """Returns the decaying average of a cost before this step, and adds this step's to it.

        It is kept in Pyro's parameter store, that saves and clears it with the rest.
        """
        store = pyro.get_param_store()
        with torch.no_grad():
            average = store[name].detach().to(cost) if name in store else torch.zeros_like(cost)
            store[name] = score.decay(average, cost, decay)
        return average

    def cond(self, wanted: Any, full: Callable[[], Any], cheap: Callable[[], Any]) -> Any:
        """Returns what one of two functions returns: nothing is traced here."""
        return full() if wanted else cheap()
