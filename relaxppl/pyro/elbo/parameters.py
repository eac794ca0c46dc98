"""What an estimator learns and remembers: Pyro parameters of its own, and decaying averages."""

from __future__ import annotations

import math
from typing import Any

import pyro
import torch
from pyro.distributions import constraints

from relaxppl.estimators import network, score
from relaxppl.pyro.elbo.program import Site


class Own:
    """The estimator's own parameters during one step.

    What is read here carries no graph. Gradients are handed back with :meth:`learn` and reach the
    parameters through :attr:`surrogate` alone, so that none leaks into the program's or from it.

    :param learning: whether the parameters are learned; else they stay at their initial values.
    """

    def __init__(self, learning: bool) -> None:
        self.learning = learning
        self.surrogate: torch.Tensor | float = 0.0
        self._read: dict[str, torch.Tensor] = {}

    def read(self, name: str, initial: Any, like: torch.Tensor, positive: bool = False) -> Any:
        """Returns a parameter of the dtype and device of ``like``, without its graph."""
        start = torch.as_tensor(initial, dtype=like.dtype, device=like.device)
        if not self.learning:
            return start
        if name not in self._read:
            constraint = constraints.positive if positive else constraints.real
            value = pyro.param(name, start, constraint=constraint)
            self._read[name] = value
        return self._read[name].detach().to(like)

    def learn(self, name: str, gradient: torch.Tensor) -> None:
        """Adds to :attr:`surrogate` what gives a parameter this gradient."""
        parameter = self._read[name]
        # The objective may be far larger than its parameters' scale; a step must survive that.
        gradient = torch.nan_to_num(gradient.detach().to(parameter))
        self.surrogate = self.surrogate + (gradient * parameter).sum()

    def network(self, prefix: str, features: int, hidden: int, like: torch.Tensor) -> Any:
        """Returns the parameters of a default network, by their short names."""
        initial = network.initial(features, hidden)
        return {key: self.read(f"{prefix}.{key}", value, like) for key, value in initial.items()}


def side_input(site: Site) -> torch.Tensor | None:
    """Returns what the site's networks see beside its value, (*frames, features), or None."""
    given = site.infer.get("estimator_input")
    if given is None:
        return None
    return pyro.ops.provenance.detach_provenance(given).detach()


def network_baseline(own: Own, site: Site, rewards: torch.Tensor, hidden: int) -> torch.Tensor:
    """Returns a baseline for each reward from the site's input, and learns it by least squares.

    :param rewards: the downstream costs, (*batch_shape).
    """
    side = side_input(site)
    if side is None:
        side = rewards.new_zeros((0,))
    prefix = f"{site.name}.baseline"
    parameters = own.network(prefix, side.shape[-1], hidden, rewards)
    leaves = {key: value.clone().requires_grad_() for key, value in parameters.items()}
    with torch.enable_grad():
        baseline = network.apply(leaves, side)
        error = ((rewards.detach() - baseline) ** 2).sum()
        gradients = torch.autograd.grad(error, list(leaves.values()))
    for key, gradient in zip(leaves, gradients, strict=True):
        own.learn(f"{prefix}.{key}", gradient)
    return baseline.detach()


def average_baseline(site: Site, rewards: torch.Tensor, decay: float) -> torch.Tensor | float:
    """Returns the decaying average of earlier rewards at a site and adds these to it.

    It is kept in Pyro's parameter store, that saves and clears it with the rest.
    """
    name, store = f"{site.name}.baseline.average", pyro.get_param_store()
    mean = rewards.detach().mean()
    with torch.no_grad():
        if name in store:
            average = store[name].detach().to(mean)
            store[name] = score.decay(average, mean, decay)
            return average
        # The first value is taken whole: an average that starts at zero takes 1 / (1 - decay)
        # steps to be of use.
        store[name] = mean.clone()
    return 0.0


def features_of(site: Site, side: torch.Tensor | None) -> tuple[int, int]:
    """Returns how many numbers a network of the site's value sees, and the value's event rank."""
    assert site.law is not None
    batch = len(site.fn.batch_shape)
    event = site.law.logits.shape[batch:]
    return math.prod(event) + (0 if side is None else side.shape[-1]), len(event)
