"""What an estimator learns and remembers, declared by the guide for stock SVI to carry."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpyro
from jax.lax import stop_gradient
from numpyro import handlers
from numpyro.distributions import constraints
from numpyro.primitives import mutable

from relaxppl.common.naming import STEP
from relaxppl.estimators import network, score
from relaxppl.estimators.base import Parameter
from relaxppl.estimators.score import no_input
from relaxppl.estimators.site import Candidate, Site
from relaxppl.numpyro.elbo.program import site_of
from relaxppl.numpyro.elbo.structure import InputsOfAllSteps, candidate_of
from relaxppl.numpyro.step import counted, current_step


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

    def steps(self) -> jax.Array:
        """Returns how many steps the optimiser has taken, ().

        :raises ValueError: if nothing counts them.
        """
        count = counted(self._params)
        if count is None:
            raise ValueError(
                "debias is a schedule of the optimiser's steps, and nothing counts them: hand "
                "elbo.prepare(guide) to SVI and wrap its optimiser, SVI(model, "
                "elbo.prepare(guide), count_steps(optim), elbo). At parameters of your own, give "
                f"{STEP!r} among them, or debias as a number"
            )
        return stop_gradient(count)

    def learn(self, name: str, gradient: jax.Array) -> None:
        """Adds to the gradient of a parameter."""
        self.gradients[name] = self.gradients.get(name, 0.0) + gradient

    def cond(self, wanted: Any, full: Callable[[], Any], cheap: Callable[[], Any]) -> Any:
        """Returns what one of two functions returns, by a flag that may be traced."""
        return full() if wanted is True else jax.lax.cond(wanted, full, cheap)


class PreparedGuide:
    """A guide that also declares its ELBO's parameters and state; else it is the guide.

    :param guide: the guide.
    :param parameters: from a discrete site to what its estimator learns.
    """

    def __init__(
        self, guide: Callable[..., Any], parameters: Callable[[Candidate], list[Parameter]]
    ) -> None:
        self.guide, self._parameters = guide, parameters

    def __getattr__(self, name: str) -> Any:
        if name in ("guide", "_parameters"):
            raise AttributeError(name)
        return getattr(self.guide, name)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        with handlers.trace() as trace, InputsOfAllSteps():
            result = self.guide(*args, **kwargs)
        for site in trace.values():
            if site["type"] == "sample" and not site["is_observed"] and not site["fn"].has_rsample:
                candidate = candidate_of(site)
                for parameter in self._parameters(candidate):
                    _declare(parameter, site_of(site, candidate, frozenset()))
        return result


def _declare(parameter: Parameter, site: Site) -> None:
    name, kind = parameter.name, parameter.kind
    if kind == "count":
        current_step()
    elif kind == "average":
        mutable(name, jnp.zeros(()))
    elif kind != "network":
        constraint = constraints.positive if kind == "positive" else constraints.real
        numpyro.param(name, jnp.asarray(parameter.initial), constraint=constraint)
    elif name.endswith(".baseline"):
        if site.side is None:
            raise no_input(site.name)
        _declare_network(name, site.side.shape[-1], parameter.hidden)
    elif site.law is not None or site.sequence is not None:
        _declare_network(name, site.features, parameter.hidden)


def _declare_network(prefix: str, features: int, hidden: int) -> None:
    for key, value in network.initial(features, hidden).items():
        numpyro.param(f"{prefix}.{key}", jnp.asarray(value, dtype=jnp.result_type(float)))
