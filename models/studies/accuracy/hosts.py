"""The two hosts as the problems see them: programs are written once, for either."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

RATE, LAST = 0.05, 0.02
"""The optimiser's first step, and its last as a share of that."""


@dataclass(frozen=True)
class Fit:
    """How a guide is made.

    :param guide: of the problem's model.
    :param elbo: the name of the loss, of the library or else of the host.
    :param options: of the loss.
    :param trained: the part of the guide that has parameters; None for all of it.
    :param against: the program that it is trained against; None for the problem's model.
    :param steps: of the optimiser.
    :param particles: of each row, in a correction.
    :param draws: of each posterior.
    """

    guide: Any
    elbo: str
    options: Mapping[str, Any] = field(default_factory=dict)
    trained: Any = None
    against: Any = None
    steps: int = 400
    particles: int = 4
    draws: int = 10_000


class Host:
    """A host's own names, and the calls that differ."""

    name: str
    rx: Any
    lib: Any
    dist: Any
    xp: Any
    """The module of array functions; both have ``linalg``."""
    init_to_median: Any
    """Starts a guide at the medians of the prior."""

    def array(self, value: Any) -> Any:
        """Returns numbers as a floating array."""
        raise NotImplementedError

    def index(self, value: Any) -> Any:
        """Returns whole numbers as an array that may be an index."""
        raise NotImplementedError

    def draw(self, law: Any, seed: int, count: int) -> Any:
        """Returns draws of a distribution, (count, ...)."""
        raise NotImplementedError

    def fit(self, model: Any, how: Fit, steps: int, seed: int) -> Any:
        """Trains a guide; returns what ``to_arviz`` takes for its parameters."""
        raise NotImplementedError

    def to_arviz(self, *program: Any, seed: int, **options: Any) -> Any:
        """Returns the library's ``to_arviz`` of a program."""
        raise NotImplementedError


class NumPyro(Host):
    """The host on JAX."""

    name = "numpyro"

    def __init__(self) -> None:
        import jax
        import jax.numpy as jnp
        import numpyro

        import relaxppl.numpyro as rx

        self.rx, self.lib, self.dist, self.xp = rx, numpyro, numpyro.distributions, jnp
        self.key, self.init_to_median = jax.random.key, numpyro.infer.init_to_median

    def array(self, value: Any) -> Any:
        return self.xp.asarray(value, float)

    def index(self, value: Any) -> Any:
        return self.xp.asarray(value, int)

    def draw(self, law: Any, seed: int, count: int) -> Any:
        return law.sample(self.key(seed), (count,))

    def fit(self, model: Any, how: Fit, steps: int, seed: int) -> Any:
        where = self.rx if how.elbo in self.rx.__all__ else self.lib.infer
        loss = getattr(where, how.elbo)(**how.options)
        adam = self.lib.optim.Adam(lambda step: RATE * LAST ** (step / steps))
        svi = self.lib.infer.SVI(how.against or model, how.trained or how.guide, adam, loss)
        return self.rx.fit(svi, self.key(seed), steps, progress=False).params

    def to_arviz(self, *program: Any, seed: int, **options: Any) -> Any:
        return self.rx.to_arviz(*program, rng_key=self.key(seed), **options)


class Pyro(Host):
    """The host on torch."""

    name = "pyro"

    def __init__(self) -> None:
        import pyro
        import torch

        import relaxppl.pyro as rx

        self.rx, self.lib, self.dist, self.xp = rx, pyro, pyro.distributions, torch
        self.init_to_median = pyro.infer.autoguide.init_to_median

    def array(self, value: Any) -> Any:
        return self.xp.as_tensor(np.asarray(value), dtype=self.xp.get_default_dtype())

    def index(self, value: Any) -> Any:
        return self.xp.as_tensor(np.asarray(value), dtype=self.xp.long)

    def draw(self, law: Any, seed: int, count: int) -> Any:
        self.lib.set_rng_seed(seed)
        return law.sample((count,))

    def fit(self, model: Any, how: Fit, steps: int, seed: int) -> Any:
        self.lib.clear_param_store()
        self.lib.set_rng_seed(seed)
        where = self.rx if how.elbo in self.rx.__all__ else self.lib.infer
        options = {"vectorize_particles": True, "max_plate_nesting": 1, **how.options}
        loss = getattr(where, how.elbo)(**options)
        adam = self.lib.optim.ClippedAdam({"lr": RATE, "lrd": LAST ** (1 / steps)})
        svi = self.lib.infer.SVI(how.against or model, how.trained or how.guide, adam, loss)
        self.rx.fit(svi, steps, progress=False)
        return None

    def to_arviz(self, *program: Any, seed: int, **options: Any) -> Any:
        self.lib.set_rng_seed(seed)
        return self.rx.to_arviz(*program, **options)


HOSTS: Mapping[str, type[Host]] = {"pyro": Pyro, "numpyro": NumPyro}
