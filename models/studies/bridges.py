"""Ways to predict from a Gaussian over logits, on either host."""

import importlib
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import partial
from typing import Any

import numpy as np

from models.studies.accuracy.hosts import HOSTS
from relaxppl import ops

Array = np.ndarray


def compiler(backend: str) -> tuple[Any, Any]:
    """A host's compiler, and what gives it double precision."""
    if backend == "pyro":
        return lambda way: way, nullcontext
    import jax

    return jax.jit, partial(jax.enable_x64, True)


def there_and_back(backend: str, concentration: Sequence[float]) -> list[Callable[[Any], Any]]:
    """Log densities of a Dirichlet, the bridge's logistic-normal, and the way back."""
    host, (compiled, double) = HOSTS[backend](), compiler(backend)
    with double():
        dirichlet = host.dist.Dirichlet(host.xp.asarray(np.array(concentration, float)))
        bridged = host.rx.laplace_bridge(dirichlet)
        laws = dirichlet, bridged, host.rx.laplace_bridge_inverse(bridged)

    def log_density(law: Any, x: Any) -> Any:
        with double():
            return np.asarray(compiled(law.log_prob)(host.xp.asarray(x)))

    return [partial(log_density, law) for law in laws]


def predictives(
    backend: str, mean: Array, covariance: Array, draws: Sequence[int], seed: int
) -> dict[str, Callable[[], Array]]:
    """Ways to turn a Gaussian over logits into class probabilities.

    :param mean: of each input's logits, (n, K).
    :param covariance: (n, K, K).
    :param draws: how many draws for each way by sampling.
    :param seed: of the draws.
    :returns: Name to a function that returns probabilities, (n, K).
    """
    host, (compiled, _) = HOSTS[backend](), compiler(backend)
    program = importlib.import_module(f"models.{backend}.laplace_bridge")
    gaussian = host.xp.asarray(mean), host.xp.asarray(covariance)
    classes = mean.shape[-1]

    def bridge(loc: Any, cov: Any) -> Any:
        return program.dirichlet_of(loc, cov).mean

    def scaled_bridge(loc: Any, cov: Any) -> Any:
        # The bridge overrates the tails of large variances, which are divided down.
        trace = ops.sum(cov * ops.like(cov, np.eye(classes)), axis=(-2, -1))
        factor = ops.clip(trace / classes / (classes / 2) ** 0.5, 1.0, None)
        return bridge(loc / ops.sqrt(factor)[:, None], cov / factor[:, None, None])

    def sampled(count: int, loc: Any, cov: Any) -> Any:
        law = host.rx.LogisticNormalSoftmax(loc, covariance_matrix=cov)
        return host.draw(law, seed, count).mean(0)

    def run(way: Callable[..., Any]) -> Array:
        return np.asarray(way(*gaussian))

    ways: dict[str, Any] = {"mode": lambda loc, _: ops.softmax(loc, axis=-1), "bridge": bridge}
    ways |= {"scaled bridge": scaled_bridge}
    ways |= {f"{count} draws": partial(sampled, count) for count in draws}
    return {name: partial(run, compiled(way)) for name, way in ways.items()}
