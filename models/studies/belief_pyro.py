"""One estimator in training on Pyro, for the study; belief_numpyro.py mirrors this file."""

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

    def bound(self, images: Any, passes: int) -> float:
        """The ELBO per image of the discrete model under the discrete guide."""
        given = torch.tensor(images), None
        with self.own_store() as self.store:
            found = rx.discrete_elbo(*self.programs, None, *given, num_particles=passes)
        return found / len(images)

    def params(self) -> dict[str, Any]:
        """All parameters where training stands, the estimator's own with them."""
        with self.own_store() as self.store:
            return {name: value.detach() for name, value in pyro.get_param_store().items()}

    def gradient_stats(self, weights: Any, images: Any, draws: int, tune: int) -> Any:
        """The gradient at given weights; what the estimator learns first adapts to them."""
        more: Any = {"num_draws": draws, "tune": tune}
        mine = {"it": (self.loss, self.svi.model, self.svi.guide)}
        given = torch.tensor(images), None
        with self.own_store() as self.store:
            found = rx.compare_estimators(mine, *self.programs, weights, *given, **more)
            return found.stats["it"]
