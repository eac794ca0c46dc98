"""The bridge and the last layer's Gaussian in NumPyro; pyro_model.py mirrors this file."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from numpy.typing import NDArray
from numpyro.infer import SVI, Trace_ELBO, init_to_value
from numpyro.infer.autoguide import AutoLaplaceApproximation

import relaxppl.numpyro as rx
from models.laplace_bridge.simplex import NAMES, Density


def there_and_back(concentration: list[float]) -> dict[str, Density]:
    """A Dirichlet, the logistic-normal of the bridge, and the Dirichlet of the way back."""
    with jax.enable_x64(True):
        dirichlet = dist.Dirichlet(jnp.asarray(concentration))
        bridge = rx.laplace_bridge(dirichlet)
        laws = (dirichlet, bridge, rx.laplace_bridge_inverse(bridge))

    def log_density(law: Any, x: NDArray[np.float64]) -> NDArray[np.float64]:
        with jax.enable_x64(True):
            return np.asarray(_log_prob(law, jnp.asarray(x)))

    return {name: partial(log_density, law) for name, law in zip(NAMES, laws, strict=True)}


@jax.jit
def _log_prob(law: Any, x: Any) -> Any:
    return law.log_prob(x)


def last_layer_gaussian(
    features: NDArray[np.floating],
    labels: NDArray[np.int64],
    start: NDArray[np.floating],
    prior_scale: float,
    steps: int,
) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """Laplace's approximation to the posterior of a last layer.

    :param features: what the layer reads, (n, D).
    :param labels: (n,).
    :param start: its weights to begin at, (D, K).
    :param prior_scale: of the weights' normal prior.
    :param steps: optimiser steps to the mode.
    :returns: the mean, (D * K,), and the covariance.
    """
    x, y = jnp.asarray(features), jnp.asarray(labels)

    def model() -> None:
        prior = dist.Normal(0.0, prior_scale).expand(start.shape).to_event(2)
        weight = numpyro.sample("weight", prior)
        with numpyro.plate("data", len(x)):
            numpyro.sample("label", dist.Categorical(logits=x @ weight), obs=y)

    begin = init_to_value(values={"weight": jnp.asarray(start)})
    guide = AutoLaplaceApproximation(model, init_loc_fn=begin)
    svi = SVI(model, guide, numpyro.optim.Adam(0.01), Trace_ELBO())
    params = svi.run(jax.random.key(0), steps, progress_bar=False).params
    posterior = guide.get_posterior(params)
    return np.asarray(posterior.loc), np.asarray(posterior.covariance_matrix)


def predictives(
    mean: NDArray[np.floating], covariance: NDArray[np.floating], draws: tuple[int, ...], seed: int
) -> dict[str, Callable[[], NDArray[np.floating]]]:
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
    gaussian = rx.LogisticNormalSoftmax(loc, covariance_matrix=cov)
    return rx.laplace_bridge_inverse(gaussian).mean


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
