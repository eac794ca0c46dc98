"""The bridge and the last layer's Gaussian in Pyro; numpyro_model.py mirrors this file."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pyro
import pyro.distributions as dist
import torch
from numpy.typing import NDArray
from pyro.infer import SVI, Trace_ELBO
from pyro.infer.autoguide import AutoLaplaceApproximation, init_to_value

import relaxppl.pyro as rx
from models.laplace_bridge.simplex import NAMES, Density


def there_and_back(concentration: list[float]) -> dict[str, Density]:
    """A Dirichlet, the logistic-normal of the bridge, and the Dirichlet of the way back."""
    dirichlet = dist.Dirichlet(torch.tensor(concentration, dtype=torch.float64))
    bridge = rx.laplace_bridge(dirichlet)
    laws = (dirichlet, bridge, rx.laplace_bridge_inverse(bridge))

    def log_density(law: Any, x: NDArray[np.float64]) -> NDArray[np.float64]:
        return law.log_prob(torch.tensor(x)).numpy()

    return {name: partial(log_density, law) for name, law in zip(NAMES, laws, strict=True)}


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
    x, y = torch.tensor(features), torch.tensor(labels)

    def model() -> None:
        prior = dist.Normal(torch.zeros(start.shape), prior_scale).to_event(2)
        weight = pyro.sample("weight", prior)
        with pyro.plate("data", len(x)):
            pyro.sample("label", dist.Categorical(logits=x @ weight), obs=y)

    pyro.clear_param_store()
    begin = init_to_value(values={"weight": torch.tensor(start)})
    guide = AutoLaplaceApproximation(model, init_loc_fn=begin)
    svi = SVI(model, guide, pyro.optim.Adam({"lr": 0.01}), Trace_ELBO())
    for _ in range(steps):
        svi.step()
    posterior = guide.laplace_approximation().get_posterior()
    return posterior.mean.detach().numpy(), posterior.covariance_matrix.detach().numpy()


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
    loc, cov = torch.tensor(mean), torch.tensor(covariance)
    ways = {
        "mode": lambda: loc.softmax(-1).numpy(),
        "bridge": lambda: bridge(loc, cov).numpy(),
        "scaled bridge": lambda: scaled_bridge(loc, cov).numpy(),
    }
    return ways | {
        f"{count} draws": lambda n=count: sampled(loc, cov, seed, n).numpy() for count in draws
    }


def bridge(loc: Any, cov: Any) -> Any:
    """The mean of the bridge's Dirichlet."""
    gaussian = rx.LogisticNormalSoftmax(loc, covariance_matrix=cov)
    return rx.laplace_bridge_inverse(gaussian).mean


def scaled_bridge(loc: Any, cov: Any) -> Any:
    """The same after large variances were divided down, as the bridge overrates their tails."""
    classes = cov.shape[-1]
    factor = cov.diagonal(dim1=-2, dim2=-1).mean(-1) / (classes / 2) ** 0.5
    factor = factor.clamp(min=1.0)
    return bridge(loc / factor.sqrt()[:, None], cov / factor[:, None, None])


def sampled(loc: Any, cov: Any, seed: int, count: int) -> Any:
    """The mean softmax of draws."""
    pyro.set_rng_seed(seed)
    law = rx.LogisticNormalSoftmax(loc, covariance_matrix=cov)
    return law.sample((count,)).mean(0)
