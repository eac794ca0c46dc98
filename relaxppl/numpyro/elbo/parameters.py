"""What an estimator learns and remembers, declared by the guide for stock SVI to carry."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpyro
from jax.lax import stop_gradient
from numpyro import handlers
from numpyro.distributions import constraints
from numpyro.primitives import mutable

from relaxppl.estimators import network, score
from relaxppl.numpyro.elbo.laws import law_of


@dataclass(frozen=True)
class Needs:
    """What one site's estimator learns or carries.

    :param temperature: the initial temperature, or None where none is learned.
    :param eta: the initial factor of the control variate, or None.
    :param control_network: the number of hidden units of the control variate, or None.
    :param baseline_network: that of the baseline, or None.
    :param average: whether a decaying average is carried.
    """

    temperature: float | None = None
    eta: float | None = None
    control_network: int | None = None
    baseline_network: int | None = None
    average: bool = False


def network_rank(site: dict[str, Any]) -> int:
    """Returns how many rightmost dimensions of a site's logits a network sees together.

    They are those right of the site's innermost plate.
    """
    logits = law_of(site["fn"]).logits
    dims = [frame.dim for frame in site["cond_indep_stack"]]
    outer = len(site["fn"].batch_shape) + max(dims) + 1 if dims else 0
    return logits.ndim - outer


def side_input(site: dict[str, Any]) -> jax.Array | None:
    """Returns the inputs that the guide gives the site's network, (*plates, features), or None."""
    given = site["infer"].get("estimator_input")
    return None if given is None else stop_gradient(jnp.asarray(given))


class PreparedGuide:
    """A guide that also declares its ELBO's parameters and state; else it is the guide.

    :param guide: the guide.
    :param needs: from a discrete site's name and message to what its estimator learns.
    """

    def __init__(self, guide: Callable[..., Any], needs: Callable[[dict[str, Any]], Any]) -> None:
        self.guide, self._needs = guide, needs

    def __getattr__(self, name: str) -> Any:
        if name in ("guide", "_needs"):
            raise AttributeError(name)
        return getattr(self.guide, name)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        with handlers.trace() as trace:
            result = self.guide(*args, **kwargs)
        for name, site in trace.items():
            if site["type"] == "sample" and not site["is_observed"]:
                needs = self._needs(site)
                if needs is not None:
                    _declare(name, site, needs)
        return result


def _declare(name: str, site: dict[str, Any], needs: Needs) -> None:
    prefix = f"{name}.estimator."
    if needs.temperature is not None:
        numpyro.param(
            prefix + "temperature", jnp.asarray(needs.temperature), constraint=constraints.positive
        )
    if needs.eta is not None:
        numpyro.param(prefix + "eta", jnp.asarray(needs.eta))
    side = side_input(site)
    features = 0 if side is None else side.shape[-1]
    if needs.control_network is not None:
        rank = network_rank(site)
        shape = law_of(site["fn"]).logits.shape
        seen = math.prod(shape[len(shape) - rank :])
        _declare_network(prefix, seen + features, needs.control_network)
    if needs.baseline_network is not None:
        seen = _side_of_baseline(site).shape[-1]
        _declare_network(f"{name}.baseline.", seen, needs.baseline_network)
    if needs.average:
        mutable(f"{name}.baseline.average", jnp.zeros(()))


def _declare_network(prefix: str, features: int, hidden: int) -> None:
    for key, value in network.initial(features, hidden).items():
        numpyro.param(prefix + key, jnp.asarray(value, dtype=jnp.result_type(float)))


def network_parameters(params: dict[str, Any], prefix: str) -> dict[str, jax.Array] | None:
    """Returns the network's parameters by their own names, or None if they are not declared."""
    names = network.initial(1, 1)
    if any(prefix + key not in params for key in names):
        return None
    return {key: params[prefix + key] for key in names}


def is_discrete(site: dict[str, Any]) -> bool:
    """Returns whether a latent site needs an estimator."""
    return not site["fn"].has_rsample


def scale_of(site: dict[str, Any]) -> Any:
    """Returns what a site's costs are multiplied by, for its networks to be too."""
    return 1.0 if site["scale"] is None else stop_gradient(site["scale"])


def network_baseline(
    site: dict[str, Any], reward: jax.Array, params: dict[str, Any]
) -> tuple[jax.Array, dict[str, jax.Array]]:
    """Returns a baseline from the site's input, and the gradient of its squared error by name.

    :param reward: the sum of the terms that depend on the site, over its batch.
    :raises ValueError: if the site gives no input.
    """
    prefix = f"{site['name']}.baseline."
    weights, side = network_parameters(params, prefix), _side_of_baseline(site)
    assert weights is not None

    def error(weights: dict[str, jax.Array]) -> tuple[jax.Array, jax.Array]:
        predicted = scale_of(site) * network.apply(weights, side)
        # The inputs may be broadcast over plates; the reward has their full shape.
        shape = jnp.broadcast_shapes(predicted.shape, reward.shape)
        return jnp.sum((jnp.broadcast_to(predicted, shape) - reward) ** 2), predicted

    gradients, predicted = jax.grad(error, has_aux=True)(jax.tree.map(stop_gradient, weights))
    return predicted, {prefix + key: gradient for key, gradient in gradients.items()}


def average_baseline(
    site: dict[str, Any], reward: jax.Array, params: dict[str, Any], decay: float
) -> tuple[jax.Array, dict[str, jax.Array]]:
    """Returns the decaying average of earlier rewards at a site, and the next one by name."""
    name = f"{site['name']}.baseline.average"
    average = stop_gradient(params[name])
    return average, {name: score.decay(average, jnp.mean(reward), decay)}


def _side_of_baseline(site: dict[str, Any]) -> jax.Array:
    side = side_input(site)
    if side is None:
        raise ValueError(
            f"site {site['name']!r}: a network baseline needs the inputs that it sees; give them "
            "in the guide as infer={'estimator_input': array of shape (*plates, features)}"
        )
    return side
