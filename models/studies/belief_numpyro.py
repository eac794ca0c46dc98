"""One estimator in training on NumPyro, for the study; belief_pyro.py mirrors this file."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
from numpyro.infer import SVI

import relaxppl.numpyro as rx
from models.numpyro import sigmoid_belief_network as program
from models.studies.kept import check_finite


class Lane:
    """One estimator in training.

    :param options: the program's.
    :param images: to train on, (n, 784).
    :param steps: at least so many will be taken.
    """

    chunk = 50

    def __init__(self, options: Any, images: Any, steps: int) -> None:
        self.programs = program.programs(options, images)
        self.loss, *trained = program.method(options, *self.programs)
        self.svi = SVI(*trained, numpyro.optim.Adam(1e-3), self.loss)
        start, self.key = jax.random.split(jax.random.key(options.seed))
        self.images, self.done = jnp.asarray(images), 0
        self.state = self.svi.init(start, self.images)
        self.chunk = min(self.chunk, steps)

        def several(state: Any, images: Any) -> Any:
            step = lambda state, _: self.svi.update(state, images)  # noqa: E731
            return jax.lax.scan(step, state, None, length=self.chunk)

        self.several = jax.jit(several)

    def advance(self) -> Any:
        """Take steps; returns their losses, the negative ELBO per training image."""
        self.state, losses = self.several(self.state, self.images)
        losses = np.asarray(losses) / program.BATCH
        check_finite(losses, self.done)
        self.done += len(losses)
        return losses

    def bound(self, images: Any, passes: int) -> float:
        """The ELBO per image of the discrete model under the discrete guide."""
        params, key = self.svi.get_params(self.state), jax.random.fold_in(self.key, 1)
        many: Any = {"num_particles": passes, "vectorize_particles": False}
        given = jnp.asarray(images), None
        found = rx.discrete_elbo(*self.programs, params, *given, rng_key=key, **many)
        return float(found) / len(images)

    def params(self) -> dict[str, Any]:
        """All parameters where training stands, the estimator's own with them."""
        return self.svi.get_params(self.state) | (self.state.mutable_state or {})

    def gradient_stats(self, weights: Any, images: Any, draws: int, tune: int) -> Any:
        """The gradient at given weights; what the estimator learns first adapts to them."""
        more: Any = {"num_draws": draws, "tune": tune}
        given = jnp.asarray(images), None
        mine = {"it": (self.loss, self.svi.model, self.svi.guide)}
        found = rx.compare_estimators(mine, *self.programs, weights, *given, **more)
        return found.stats["it"]
