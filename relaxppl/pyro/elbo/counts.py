"""What the coupled differences may know about a Pyro distribution: a law of counts."""

from __future__ import annotations

from typing import Any

import pyro.distributions as pyro_dist
import torch
import torch.distributions as torch_dist

from relaxppl.estimators.counts import Binomial, Count, NegativeBinomial, Poisson
from relaxppl.pyro.elbo.laws import base_of, count_type


def count_of(fn: Any) -> Count | None:
    """Returns the law of counts of a distribution, its parameters expanded, or None."""
    kind, base = count_type(fn), base_of(fn)
    if kind is None:
        return None
    shape = fn.batch_shape + fn.event_shape
    if kind is Poisson:
        return Poisson(base.rate.expand(shape)[None])
    if isinstance(base, pyro_dist.GammaPoisson):
        logits, total = -base.rate.log(), base.concentration
    else:
        logits = base.logits
        total = torch.ones_like(logits)
        if isinstance(base, torch_dist.Geometric):
            logits = -logits
        else:
            total = base.total_count
    logits, total = logits.expand(shape), total.to(logits).expand(shape)
    if kind is Binomial:
        return Binomial(logits, total)
    return NegativeBinomial(logits, total, learned=total.requires_grad)
