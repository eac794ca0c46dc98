"""What an estimator learns and remembers: Pyro parameters of its own, and decaying averages."""

from __future__ import annotations

import functools
import math
from typing import Any

import pyro
import torch
from pyro.distributions import constraints

from relaxppl.estimators import network, score
from relaxppl.pyro.elbo.structure import Site


class Own:
    """The estimator's own parameters during one step.

    What is read here carries no graph. Gradients are handed back with :meth:`learn` and reach the
    parameters through :attr:`surrogate` alone, so that none leaks into the program's or from it.
    """

    def __init__(self) -> None:
        self.surrogate: torch.Tensor | float = 0.0
        self._read: dict[str, torch.Tensor] = {}

    def read(
        self,
        name: str,
        initial: Any,
        like: torch.Tensor,
        positive: bool = False,
        learning: bool = True,
    ) -> torch.Tensor:
        """Returns a parameter of the dtype and device of ``like``, without its graph.

        :param initial: its first value, or a function that makes it when it is wanted.
        :param learning: whether it learns in this step. If not, SVI does not get to see it: an
            optimiser with momentum would move it all the same.
        """
        store = pyro.get_param_store()
        if not learning and name in store:
            return store[name].detach().to(like)
        if name not in self._read:

            def start() -> torch.Tensor:
                value = initial() if callable(initial) else initial
                return torch.as_tensor(value, dtype=like.dtype, device=like.device)

            constraint = constraints.positive if positive else constraints.real
            self._read[name] = pyro.param(name, start, constraint=constraint)
        return self._read[name].detach().to(like)

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


def side_input(site: Site) -> torch.Tensor | None:
    """Returns what the site's networks see beside its value, (*plates, features), or None."""
    given = site.infer.get("estimator_input")
    return None if given is None else given.detach()


def network_rank(site: Site) -> int:
    """Returns how many rightmost dimensions of a site's logits a network sees together.

    They are those right of the site's innermost plate.
    """
    assert site.law is not None
    dims = [frame.dim for frame in site.frames]
    outer = len(site.fn.batch_shape) + max(dims) + 1 if dims else 0
    return site.law.logits.ndim - outer


def features_of(site: Site) -> int:
    """Returns how many numbers a network of the site's value and input sees."""
    assert site.law is not None
    shape, side = site.law.logits.shape, side_input(site)
    seen = math.prod(shape[len(shape) - network_rank(site) :])
    return seen + (0 if side is None else side.shape[-1])


def network_baseline(own: Own, site: Site, rewards: torch.Tensor, hidden: int) -> torch.Tensor:
    """Returns a baseline for each reward from the site's input, and learns it by least squares.

    :param rewards: the downstream costs, (..., *batch_shape).
    :raises ValueError: if the site gives no input.
    """
    side = side_input(site)
    if side is None:
        raise ValueError(
            f"site {site.name!r}: a network baseline needs the inputs that it sees; give them in "
            "the guide as infer={'estimator_input': array of shape (*plates, features)}"
        )
    prefix = f"{site.name}.baseline"
    parameters = own.network(prefix, side.shape[-1], hidden, rewards)
    leaves = {key: value.clone().requires_grad_() for key, value in parameters.items()}
    with torch.enable_grad():
        baseline = site.scale * network.apply(leaves, side)
        error = ((rewards.detach() - baseline) ** 2).sum()
        gradients = torch.autograd.grad(error, list(leaves.values()))
    for key, gradient in zip(leaves, gradients, strict=True):
        own.learn(f"{prefix}.{key}", gradient)
    return baseline.detach()


def average_baseline(site: Site, rewards: torch.Tensor, decay: float) -> torch.Tensor:
    """Returns the decaying average of earlier rewards at a site and adds these to it.

    It is kept in Pyro's parameter store, that saves and clears it with the rest.
    """
    name, store = f"{site.name}.baseline.average", pyro.get_param_store()
    mean = rewards.detach().mean()
    with torch.no_grad():
        average = store[name].detach().to(mean) if name in store else torch.zeros_like(mean)
        store[name] = score.decay(average, mean, decay)
    return average
