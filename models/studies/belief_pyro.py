"""One estimator in training on Pyro, for the study; belief_numpyro.py mirrors this file."""

import time
from typing import Any

import numpy as np
import pyro
import torch
from pyro.infer import SVI

import relaxppl.pyro as rx
from models.pyro import sigmoid_belief_network as program
from models.studies.kept import check_finite


class Lane:
    """One estimator in training; several have parameters of their own, and may take turns.

    :param options: the program's.
    :param images: to train on, (n, 784).
    :param steps: at least so many will be taken.
    """

    chunk = 20

    def __init__(self, options: Any, images: Any, steps: int) -> None:
        self.programs = program.programs(options, images)
        self.loss, *trained = program.method(options, *self.programs)
        self.svi = SVI(*trained, pyro.optim.Adam({"lr": 1e-3}), self.loss)
        self.images, self.done = torch.tensor(images), 0
        self.chunk = min(self.chunk, steps)
        self.store: Any = {"params": {}, "constraints": {}}
        pyro.set_rng_seed(options.seed)

    def own_store(self) -> Any:
        """Pyro's parameters as this lane left them."""
        return pyro.get_param_store().scope(self.store)

    def advance(self) -> Any:
        """Take steps; returns their losses, the negative ELBO per training image."""
        with self.own_store() as self.store:
            losses = np.array([self.svi.step(self.images) for _ in range(self.chunk)])
        check_finite(losses, self.done)
        self.done += self.chunk
        return losses / program.BATCH

    def timed(self) -> float:
        """Take steps; returns the time of one."""
        start = time.perf_counter()
        count = len(self.advance())
        return (time.perf_counter() - start) / count

    def bound(self, images: Any, passes: int) -> float:
        """The ELBO per image of the discrete model under the discrete guide."""
        given = torch.tensor(images), None
        with self.own_store() as self.store:
            found = rx.discrete_elbo(*self.programs, None, *given, num_particles=passes)
        return found / len(images)

    def weights(self) -> dict[str, Any]:
        """The maps where training stands."""
        with self.own_store() as self.store:
            found = {name: value.detach() for name, value in pyro.get_param_store().items()}
        return {name: found[name] for name in found if name.startswith(("infer", "generate"))}

    def gradient_stats(self, weights: Any, images: Any, draws: int, tune: int) -> Any:
        """The gradient at given weights; what the estimator learns first adapts to them."""
        more: Any = {"num_draws": draws, "tune": tune}
        mine = {"it": (self.loss, self.svi.model, self.svi.guide)}
        given = torch.tensor(images), None
        with self.own_store() as self.store:
            found = rx.compare_estimators(mine, *self.programs, weights, *given, **more)
            return found.stats["it"]

    def learned(self) -> dict[str, float]:
        """The estimator's own learned numbers, by parameter name."""
        with self.own_store() as self.store:
            found = {name: value.detach() for name, value in pyro.get_param_store().items()}
        ends = (".temperature", ".eta", ".average")
        return {name: float(value) for name, value in found.items() if name.endswith(ends)}
