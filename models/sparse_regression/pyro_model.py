"""Regression with a gate for each feature, in Pyro; numpyro_model.py mirrors this file."""

from typing import Any

import numpy as np
import pyro
import pyro.distributions as dist
import torch

import relaxppl.pyro as rx
from models.common.pyro_fit import fit
from models.sparse_regression.problem import Problems, Selected


class GatedRegression:
    """Many regressions side by side, in each a coefficient and a gate for each feature.

    :param problems: the data; each run is an element of one plate.
    :param kind: one of problem.GATES.
    :param penalty: the price in nats of an open gate.
    """

    def __init__(self, problems: Problems, kind: str, penalty: float) -> None:
        self.x, self.y = torch.tensor(problems.features), torch.tensor(problems.response)
        self.factor = torch.tensor(problems.correlation_factor())
        self.runs, _, self.size = problems.shape
        self.kind, self.penalty = kind, penalty

    def gates(self, openness: Any) -> tuple[Any, Any]:
        """The law of the gates, and the expected number of open ones, (runs,)."""
        if self.kind == "HardConcrete":
            gates = rx.HardConcrete(2 / 3, logits=openness)
            return gates.to_event(1), gates.expected_l0().sum(-1)
        if self.kind == "GaussianRelaxedBernoulli":
            gates = rx.GaussianRelaxedBernoulli(openness + 0.5, 0.5)
            return gates.to_event(1), gates.expected_l0().sum(-1)
        gates = rx.CorrelatedRelaxedBernoulli(0.3, logits=openness, scale_tril=self.factor)
        return gates, torch.sigmoid(openness).sum(-1)

    def model(self) -> None:
        """Responses from gated coefficients, and a price for each gate that is open."""
        gates, opened = self.gates(self.openness())
        weight = pyro.param("weight", torch.zeros(self.runs, self.size))
        log_scale = pyro.param("log_scale", torch.zeros(self.runs, 1))
        with pyro.plate("runs", self.runs):
            # Masked here and in the guide: the gates' densities are no part of the objective.
            gate = pyro.sample("gate", gates.mask(False))
            pyro.factor("price", -self.penalty * opened)
            mean = torch.einsum("rnp,rp->rn", self.x, gate * weight)
            noise = dist.Normal(mean, torch.exp(log_scale)).to_event(1)
            pyro.sample("response", noise, obs=self.y)

    def guide(self) -> None:
        """The gates."""
        with pyro.plate("runs", self.runs):
            pyro.sample("gate", self.gates(self.openness())[0].mask(False))

    def openness(self) -> Any:
        """Logits, or the distance of a Gaussian gate's mean from one half; (runs, p)."""
        return pyro.param("openness", torch.zeros(self.runs, self.size))

    def selected(self, openness: Any) -> Selected:
        """Gates that are open without noise, (runs, p)."""
        if self.kind == "CorrelatedRelaxedBernoulli":
            return np.asarray(openness > 0.0)
        gates = self.gates(torch.tensor(openness))[0]
        return np.asarray(gates.base_dist.deterministic_gate() > 0.0)


def select(
    problems: Problems, kind: str, penalty: float, steps: int, rate: float, seed: int, show: bool
) -> tuple[Selected, float]:
    """Train gates on every run at once.

    :param problems: the regressions.
    :param kind: one of problem.GATES.
    :param penalty: the price in nats of an open gate.
    :param steps: optimiser steps.
    :param rate: the learning rate.
    :param seed: of every draw.
    :param show: whether to draw a progress bar.
    :returns: the gates left open, (runs, p), and seconds per step.
    """
    # Runs share no parameter and Adam works element by element: each trains as if alone.
    net = GatedRegression(problems, kind, penalty)
    options: dict[str, Any] = {"learning_rate": rate, "seed": seed, "show": show}
    params, _, seconds = fit(net.model, net.guide, steps, description=kind, **options)
    return net.selected(params["openness"]), seconds
