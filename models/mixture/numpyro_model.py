"""The mixture, its guides and the ways to fit them in NumPyro; pyro_model.py mirrors this file."""

from typing import Any

import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
from numpyro.distributions import constraints
from numpyro.infer import Trace_ELBO, TraceEnum_ELBO

import relaxppl.numpyro as rx
from models.common.numpyro_fit import fit
from models.mixture.truth import COMPONENTS, PRIOR, SCALE, Array

OPTIONS: dict[str, Any] = {"num_particles": 8}
TEMPERATURE = 0.5

METHODS = {
    "relaxed": lambda: Trace_ELBO(**OPTIONS),
    "straight-through": lambda: Trace_ELBO(**OPTIONS),
    "score function": lambda: rx.ScoreFunction_ELBO(**OPTIONS, baseline="average"),
    "RLOO": lambda: rx.RLOO_ELBO(**OPTIONS),
    "DisARM": lambda: rx.DisARM_ELBO(**OPTIONS),
    "REBAR": lambda: rx.REBAR_ELBO(**OPTIONS),
    "RELAX": lambda: rx.RELAX_ELBO(**OPTIONS),
    "TraceEnum": lambda: TraceEnum_ELBO(num_particles=8),
}
"""Each method's ELBO: the host's for a relaxation, relaxppl's where the model stays discrete."""


class Mixture:
    """Petal lengths from three components, and a guide.

    :param y: the lengths, (flowers,).
    """

    def __init__(self, y: Array) -> None:
        self.y, self.prior = jnp.asarray(y), jnp.asarray(PRIOR)

    def model(self) -> None:
        """Means, assignments as one-hot vectors, lengths."""
        loc = numpyro.sample("loc", dist.Normal(self.prior, 1.0).to_event(1))
        with numpyro.plate("flowers", len(self.y)):
            uniform = jnp.zeros(COMPONENTS)
            assignment = numpyro.sample("assignment", rx.OneHotCategorical(logits=uniform))
            mean = (assignment * loc).sum(-1)
            numpyro.sample("length", dist.Normal(mean, SCALE), obs=self.y)

    def guide(self) -> None:
        """Independent means and independent assignments."""
        self.means()
        logits = numpyro.param("logits", jnp.zeros((len(self.y), COMPONENTS)))
        with numpyro.plate("flowers", len(self.y)):
            numpyro.sample("assignment", rx.OneHotCategorical(logits=logits))

    def means(self) -> None:
        """Independent means: the whole guide where the assignments are summed out."""
        loc = numpyro.param("mean", self.prior)
        scale = numpyro.param("spread", jnp.ones(COMPONENTS), constraint=constraints.positive)
        numpyro.sample("loc", dist.Normal(loc, scale).to_event(1))

    def with_integers(self) -> None:
        """The same model with integer assignments: NumPyro cannot enumerate a one-hot site."""
        loc = numpyro.sample("loc", dist.Normal(self.prior, 1.0).to_event(1))
        with numpyro.plate("flowers", len(self.y)):
            law = dist.Categorical(logits=jnp.zeros(COMPONENTS))
            index = numpyro.sample("assignment", law, infer={"enumerate": "parallel"})
            numpyro.sample("length", dist.Normal(loc[index], SCALE), obs=self.y)


def parameters(
    method: str, y: Array, steps: int, rate: float, seed: int, show: bool
) -> dict[str, Any]:
    """Fit by a method of `METHODS`; returns "mean", "spread" and, but for TraceEnum, "logits"."""
    net, elbo = Mixture(y), METHODS[method]()
    model, guide = net.model, net.guide
    if method == "TraceEnum":
        model, guide = net.with_integers, net.means
    elif method == "relaxed":
        model, guide = (rx.relax(fn, temperature=TEMPERATURE) for fn in (model, guide))
    elif method == "straight-through":
        config = {"assignment": rx.RelaxedOneHotCategoricalStraightThrough}
        model, guide = (rx.relax(fn, TEMPERATURE, config) for fn in (model, guide))
    else:
        # The score function's average is learned too, as are REBAR's and RELAX's own parameters.
        guide = elbo.prepare(guide)
    options: dict[str, Any] = {"learning_rate": rate, "seed": seed, "elbo": elbo}
    params, _, _ = fit(model, guide, steps, description=method, show=show, **options)
    return params
