"""The check of unbiasedness on Pyro: the mean of many gradients against the exact one."""

from __future__ import annotations

from typing import Any, NamedTuple

import pyro
import torch

from tests.estimators.distance import distance
from tests.hosts.elbo.pyro_case import Case


class Outcome(NamedTuple):
    worst: float
    """The largest distance of a mean gradient from the exact one, in standard errors."""
    error: float
    """The gradient's standard error, relative to its norm."""
    variance: float
    """The summed variance of one gradient."""


def move_own_parameters(elbo: Any, case: Case, infer: dict[str, Any]) -> None:
    """Makes the parameters that the estimator learns, and moves its networks away from zero."""
    elbo.loss_and_grads(*case.build(2, infer))
    store = pyro.get_param_store()
    generator = torch.Generator().manual_seed(0)
    for name in list(store.keys()):
        if ".estimator." not in name and ".baseline." not in name:
            del store[name]
        elif "weight" in name or "bias" in name:
            with torch.no_grad():
                shape, dtype = store[name].shape, torch.float64
                noise = torch.randn(shape, generator=generator, dtype=dtype, device="cpu")
                store[name] = store[name] + 0.5 * noise.to(store[name])


def measure(
    elbo: Any,
    case: Case,
    infer: dict[str, Any] | None = None,
    draws: int = 20_000,
    calls: int = 3,
    seed: int = 0,
) -> Outcome:
    """Returns how far the mean of draws * calls gradients lies from the exact gradient."""
    infer = infer or {}
    pyro.clear_param_store()
    pyro.set_rng_seed(seed)
    move_own_parameters(elbo, case, infer)
    model, guide = case.build(draws, infer)
    sums = {name: torch.zeros_like(x) for name, x in case.initial.items()}
    squares = {name: torch.zeros_like(x) for name, x in case.initial.items()}
    norm = 0.0
    for _ in range(calls):
        elbo.loss_and_grads(model, guide)
        # A subsample is one for all repetitions of a call, so the truth is that of the subsample.
        _, exact = case.gradient()
        for name, truth in exact.items():
            leaf = pyro.param(name).unconstrained()
            gap = leaf.grad - truth
            leaf.grad = None
            sums[name] += gap.sum(0)
            squares[name] += (gap**2).sum(0)
            norm += float((truth**2).sum()) / calls
    total = draws * calls
    worst = variance = 0.0
    for name in sums:
        mean = sums[name] / total
        spread = (squares[name] / total - mean**2).clamp(min=0.0)
        worst = max(worst, distance(mean, spread, total, exact[name]))
        variance += float(spread.sum())
    return Outcome(worst, (variance / total / norm) ** 0.5, variance)
