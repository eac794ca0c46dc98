"""What an estimator may know about a Pyro distribution: its kind, its logits, its extension."""

from __future__ import annotations

from typing import Any

import torch.distributions as torch_dist
from pyro.distributions import GammaPoisson
from pyro.distributions.util import scale_and_mask

from relaxppl.common.laws import Laws
from relaxppl.estimators.counts import Binomial, NegativeBinomial, Poisson
from relaxppl.estimators.laws import Bernoulli, Categorical, Law, OneHotCategorical
from relaxppl.pyro.registry import HOST


def law_of(fn: Any) -> Law | None:
    """Returns the law of a distribution, its logits expanded.

    :param fn: a Bernoulli, a OneHotCategorical or a Categorical, wrapped or not; for every other
        distribution the answer is None.
    """
    kind = law_type(fn)
    if kind is None:
        return None
    logits = base_of(fn).logits
    shape = fn.batch_shape + fn.event_shape
    if kind is Categorical:
        shape = shape + logits.shape[-1:]
    return kind(logits if logits.shape == shape else logits.expand(shape))


LAWS = Laws(
    HOST,
    known={
        torch_dist.Bernoulli: Bernoulli,
        torch_dist.OneHotCategorical: OneHotCategorical,
        torch_dist.Categorical: Categorical,
    },
    counts={
        torch_dist.Poisson: Poisson,
        torch_dist.Binomial: Binomial,
        torch_dist.Geometric: NegativeBinomial,
        torch_dist.NegativeBinomial: NegativeBinomial,
        GammaPoisson: NegativeBinomial,
    },
    how=(law_of, scale_and_mask),
)
base_of, unmasked = LAWS.base_of, LAWS.unmasked
law_type, count_type = LAWS.law_type, LAWS.count_type
soft_log_prob, extended = LAWS.soft_log_prob, LAWS.extended
