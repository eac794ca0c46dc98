"""What an estimator learns and remembers, declared by the guide for stock SVI to carry."""

from __future__ import annotations

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
from relaxppl.estimators.gradients import no_input
from relaxppl.estimators.plan import Candidate
from relaxppl.numpyro.elbo.program import site_of

_NOBODY = Candidate("", "", None, None)


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


class Learned:
    """The parameters that the estimators learn, and the averages that they carry, in one step.

    :param params: the parameters and the mutable state by name.
    """

    def __init__(self, params: dict[str, Any]) -> None:
        self._params = params
        self.gradients: dict[str, jax.Array] = {}
        self.averages: dict[str, jax.Array] = {}

    def read(self, name: str, initial: float, like: jax.Array, positive: bool = False) -> jax.Array:
        """Returns a parameter that the guide declares, without its gradient."""
        return stop_gradient(self._params[name])

    def constant(self, value: float, like: jax.Array) -> jax.Array:
        """Returns a scalar that is not learned, ()."""
        return jnp.asarray(value, like.dtype)

    def network(
        self, prefix: str, features: int, hidden: int, like: jax.Array
    ) -> dict[str, jax.Array]:
        """Returns the parameters of a default network by their short names."""
        keys = network.initial(1, 1)
        return {key: stop_gradient(self._params[f"{prefix}.{key}"]) for key in keys}

    def average(self, name: str, cost: jax.Array, decay: float) -> jax.Array:
        """Returns the decaying average of a cost before this step; the next is carried on."""
        average = stop_gradient(self._params[name])
        self.averages[name] = score.decay(average, cost, decay)
        return average

    def learn(self, name: str, gradient: jax.Array) -> None:
        """Adds to the gradient of a parameter."""
        self.gradients[name] = self.gradients.get(name, 0.0) + gradient

    def cond(self, wanted: Any, full: Callable[[], Any], cheap: Callable[[], Any]) -> Any:
        """Returns what one of two functions returns, by a flag that may be traced."""
        return full() if wanted is True else jax.lax.cond(wanted, full, cheap)


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
    if needs.control_network is not None:
        seen = site_of(site, _NOBODY, frozenset()).features
        _declare_network(prefix, seen, needs.control_network)
    if needs.baseline_network is not None:
        side = site_of(site, _NOBODY, frozenset()).side
        if side is None:
            raise no_input(name)
        _declare_network(f"{name}.baseline.", side.shape[-1], needs.baseline_network)
    if needs.average:
        mutable(f"{name}.baseline.average", jnp.zeros(()))


def _declare_network(prefix: str, features: int, hidden: int) -> None:
    for key, value in network.initial(features, hidden).items():
        numpyro.param(prefix + key, jnp.asarray(value, dtype=jnp.result_type(float)))


def is_discrete(site: dict[str, Any]) -> bool:
    """Returns whether a latent site needs an estimator."""
    return not site["fn"].has_rsample
