"""The mixture, its guides and the ways to fit them in Pyro; numpyro_model.py mirrors this file."""

from typing import Any

import pyro
import pyro.distributions as dist
import torch
from pyro.distributions import constraints
from pyro.infer import Trace_ELBO, TraceEnum_ELBO, config_enumerate

import relaxppl.pyro as rx
from models.common.pyro_fit import fit
from models.mixture.truth import COMPONENTS, PRIOR, SCALE, Array

OPTIONS: dict[str, Any] = {"num_particles": 8, "vectorize_particles": True, "max_plate_nesting": 1}
TEMPERATURE = 0.5

METHODS = {
    "relaxed": lambda: Trace_ELBO(**OPTIONS),
    "straight-through": lambda: Trace_ELBO(**OPTIONS),
    "score function": lambda: rx.ScoreFunction_ELBO(**OPTIONS, baseline="average"),
    "RLOO": lambda: rx.RLOO_ELBO(**OPTIONS),
    "DisARM": lambda: rx.DisARM_ELBO(**OPTIONS),
    "REBAR": lambda: rx.REBAR_ELBO(**OPTIONS),
    "RELAX": lambda: rx.RELAX_ELBO(**OPTIONS),
    "TraceEnum": lambda: TraceEnum_ELBO(**OPTIONS),
}
"""Each method's ELBO: the host's for a relaxation, relaxppl's where the model stays discrete."""


class Mixture:
    """Petal lengths from three components, and a guide.

    :param y: the lengths, (flowers,).
    """

    def __init__(self, y: Array) -> None:
        self.y, self.prior = torch.tensor(y).float(), torch.tensor(PRIOR).float()

    def model(self) -> None:
        """Means, assignments as one-hot vectors, lengths."""
        loc = pyro.sample("loc", dist.Normal(self.prior, 1.0).to_event(1))
        with pyro.plate("flowers", len(self.y)):
            uniform = torch.zeros(COMPONENTS)
            assignment = pyro.sample("assignment", rx.OneHotCategorical(logits=uniform))
            mean = (assignment * loc).sum(-1)
            pyro.sample("length", dist.Normal(mean, SCALE), obs=self.y)

    def guide(self) -> None:
        """Independent means and independent assignments."""
        self.means()
        logits = pyro.param("logits", torch.zeros(len(self.y), COMPONENTS))
        with pyro.plate("flowers", len(self.y)):
            pyro.sample("assignment", rx.OneHotCategorical(logits=logits))

    def means(self) -> None:
        """Independent means: the whole guide where the assignments are summed out."""
        loc = pyro.param("mean", self.prior)
        scale = pyro.param("spread", torch.ones(COMPONENTS), constraint=constraints.positive)
        pyro.sample("loc", dist.Normal(loc, scale).to_event(1))


def parameters(
    method: str, y: Array, steps: int, rate: float, seed: int, show: bool
) -> dict[str, Any]:
    """Fit by a method of `METHODS`; returns "mean", "spread" and, but for TraceEnum, "logits"."""
    net, elbo = Mixture(y), METHODS[method]()
    model, guide = net.model, net.guide
    if method == "TraceEnum":
        model, guide = config_enumerate(net.model), net.means
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
