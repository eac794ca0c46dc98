"""A count with finitely many values and a free probability for each."""

from __future__ import annotations

from typing import Any

import pyro.distributions as dist
import torch

from relaxppl.pyro.distributions import GeneralizedGumbelSoftmax
from relaxppl.pyro.registry import register_relaxation


class FiniteCount(dist.Categorical):
    """A count k = 0, ..., n - 1 with P(k) = softmax(logits)[k].

    Its values are floats, as Pyro's own counts are. To the estimators it is a Categorical;
    under ``relax`` it is a relaxed count, as the Poisson or the binomial law of the model is that
    it is the guide of.

    :param logits: log probabilities up to a constant, (*batch, n).
    """

    def sample(self, sample_shape: Any = ()) -> torch.Tensor:
        return super().sample(torch.Size(sample_shape)).to(self.logits.dtype)

    def enumerate_support(self, expand: bool = True) -> torch.Tensor:
        return super().enumerate_support(expand).to(self.logits.dtype)


def _relaxed(distribution: Any, temperature: Any) -> GeneralizedGumbelSoftmax:
    logits: torch.Tensor = distribution.logits
    values = torch.arange(logits.shape[-1], dtype=logits.dtype, device=logits.device)
    return GeneralizedGumbelSoftmax(values, temperature, logits=logits)


register_relaxation(FiniteCount, _relaxed)
