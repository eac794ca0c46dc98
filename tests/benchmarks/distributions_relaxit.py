"""What bench_distributions times of relaxit 1.2: a sample of each class that it has.

Its parameters are given in the form it takes; what it lacks (a density that is the law, noise of
its own for every row) is not made up for. Its top-k cannot be made with validation on.
"""

from __future__ import annotations

import torch
from relaxit import distributions as relaxit

from tests.benchmarks.distributions_torch import (
    CLASSES,
    CORRELATION,
    DRAWN,
    ELEMENTS,
    SCALAR,
    SCALE,
    TEMPERATURE,
    VALUES,
    VECTOR,
    Program,
)

LOW, HIGH = torch.tensor(-0.1), torch.tensor(1.1)
WIDTHS = torch.full((ELEMENTS,), 0.6)


def programs() -> dict[str, Program]:
    """Its classes, by our names."""
    t = TEMPERATURE
    out: dict[str, Program] = {
        "StraightThroughBernoulli": lambda: relaxit.StraightThroughBernoulli(
            logits=SCALAR
        ).rsample(),
        "RebarRelaxation": lambda: relaxit.RebarRelaxation(torch.sigmoid(SCALAR), t).rsample(
            (ELEMENTS,)
        ),
        "DecoupledStraightThroughGumbelSoftmax": (
            lambda: relaxit.DecoupledStraightThroughGumbelSoftmax(0.3, t, logits=VECTOR).rsample()
        ),
        "GaussianRelaxedBernoulli": lambda: relaxit.GaussianRelaxedBernoulli(
            SCALAR, WIDTHS
        ).rsample(),
        # One uniform for all is drawn unless the shape is asked for, with a dimension of 1 after.
        "HardConcrete": lambda: relaxit.HardConcrete(SCALAR[:, None].exp(), t, HIGH, LOW).rsample(
            (ELEMENTS,)
        ),
        "CorrelatedRelaxedBernoulli": lambda: relaxit.CorrelatedRelaxedBernoulli(
            torch.sigmoid(VECTOR), CORRELATION, t
        ).rsample(),
        "StochasticTimesSmooth": lambda: relaxit.StochasticTimesSmooth(logits=SCALAR).rsample(),
        "InvertibleGaussian": lambda: relaxit.InvertibleGaussian(VECTOR, SCALE, t).rsample(),
        "LogisticNormalSoftmax": lambda: relaxit.LogisticNormalSoftmax(VECTOR, SCALE).rsample(),
    }
    for hard in (False, True):
        suffix = " hard" * hard
        out |= {
            f"GumbelSoftmaxTopK{suffix}": lambda hard=hard: relaxit.GumbelSoftmaxTopK(
                logits=VECTOR, K=torch.tensor(DRAWN), tau=0.6, hard=hard, validate_args=False
            ).rsample(),
            f"GeneralizedGumbelSoftmax{suffix}": lambda hard=hard: relaxit.GeneralizedGumbelSoftmax(
                VALUES, logits=VECTOR, tau=0.6, hard=hard, validate_args=False
            ).rsample_value(),
        }
    assert VECTOR.shape[-1] == CLASSES
    return out
