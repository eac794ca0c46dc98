"""Ways to predict from a Gaussian over logits, on Pyro; bridge_numpyro.py mirrors this file."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import pyro
import pyro.distributions as dist
import torch

import relaxppl.pyro as rx
from models.pyro import laplace_bridge as program

Array = np.ndarray


def there_and_back(concentration: Sequence[float]) -> list[Callable[[Any], Any]]:
    """Log densities of a Dirichlet, the bridge's logistic-normal, and the way back."""
    dirichlet = dist.Dirichlet(torch.tensor(concentration, dtype=torch.float64))
    bridged = rx.laplace_bridge(dirichlet)
    laws = dirichlet, bridged, rx.laplace_bridge_inverse(bridged)

    def log_density(law: Any, x: Any) -> Any:
        return law.log_prob(torch.tensor(x)).numpy()

    return [partial(log_density, law) for law in laws]


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
    return program.dirichlet_of(loc, cov).mean


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
