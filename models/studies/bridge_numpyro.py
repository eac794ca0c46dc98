"""Ways to predict from a Gaussian over logits, on NumPyro; bridge_pyro.py mirrors this file."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist

import relaxppl.numpyro as rx
from models.numpyro import laplace_bridge as program

Array = np.ndarray


def there_and_back(concentration: Sequence[float]) -> list[Callable[[Any], Any]]:
    """Log densities of a Dirichlet, the bridge's logistic-normal, and the way back."""
    with jax.enable_x64(True):
        dirichlet = dist.Dirichlet(jnp.asarray(concentration))
        bridged = rx.laplace_bridge(dirichlet)
        laws = dirichlet, bridged, rx.laplace_bridge_inverse(bridged)

    def log_density(law: Any, x: Any) -> Any:
        with jax.enable_x64(True):
            return np.asarray(_log_prob(law, jnp.asarray(x)))

    return [partial(log_density, law) for law in laws]


@jax.jit
def _log_prob(law: Any, x: Any) -> Any:
    return law.log_prob(x)


def predictives(
    mean: Array, covariance: Array, draws: tuple[int, ...], seed: int
) -> dict[str, Callable[[], Array]]:
    """Ways to turn a Gaussian over logits into class probabilities.

    :param mean: of each input's logits, (n, K).
    :param covariance: (n, K, K).
    :param draws: how many draws for each way by sampling.
    :param seed: of the draws.
    :returns: Name to a function that returns probabilities, (n, K).
    """
    loc, cov, key = jnp.asarray(mean), jnp.asarray(covariance), jax.random.key(seed)
    ways = {
        "mode": lambda: np.asarray(jax.nn.softmax(loc)),
        "bridge": lambda: np.asarray(bridge(loc, cov)),
        "scaled bridge": lambda: np.asarray(scaled_bridge(loc, cov)),
    }
    return ways | {
        f"{count} draws": lambda n=count: np.asarray(sampled(loc, cov, key, n)) for count in draws
    }


@jax.jit
def bridge(loc: Any, cov: Any) -> Any:
    """The mean of the bridge's Dirichlet."""
    return program.dirichlet_of(loc, cov).mean


@jax.jit
def scaled_bridge(loc: Any, cov: Any) -> Any:
    """The same after large variances were divided down, as the bridge overrates their tails."""
    classes = cov.shape[-1]
    factor = jnp.trace(cov, axis1=-2, axis2=-1) / classes / jnp.sqrt(classes / 2)
    factor = jnp.maximum(factor, 1.0)
    return bridge(loc / jnp.sqrt(factor)[:, None], cov / factor[:, None, None])


@partial(jax.jit, static_argnames="count")
def sampled(loc: Any, cov: Any, key: Any, count: int) -> Any:
    """The mean softmax of draws."""
    law = rx.LogisticNormalSoftmax(loc, covariance_matrix=cov)
    return law.sample(key, (count,)).mean(0)
