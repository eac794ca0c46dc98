"""Count laws as distributions on a finite table of values, relaxed."""

from __future__ import annotations

from typing import Any

import torch
from pyro import distributions as dist

from relaxppl.common import truncate as common
from relaxppl.common.docstring import documented_by
from relaxppl.pyro.distributions import GeneralizedGumbelSoftmax

COUNTS: dict[type, str] = {
    torch.distributions.Poisson: "poisson",
    torch.distributions.Binomial: "binomial",
    torch.distributions.Geometric: "geometric",
    torch.distributions.NegativeBinomial: "negative_binomial",
    dist.GammaPoisson: "gamma_poisson",
}
"""The host's classes of counts, and the names of their laws."""


@documented_by(common.truncated)
def truncate(
    distribution: Any,
    temperature: Any,
    tail: float = 1e-6,
    *,
    size: int | None = None,
    hard: bool = False,
    validate_args: bool | None = None,
) -> GeneralizedGumbelSoftmax:
    """Returns a count law as a relaxed distribution on 0, ..., n - 1."""
    table, logits = common.truncated(_HOST, distribution, tail, size)
    return GeneralizedGumbelSoftmax(
        table, temperature, logits=logits, hard=hard, validate_args=validate_args
    )


def _floats(*given: torch.Tensor) -> list[torch.Tensor]:
    dtype = next(x.dtype for x in reversed(given) if x.is_floating_point())
    return [x.to(dtype) for x in given]


_HOST = common.Host(COUNTS, dist.ExpandedDistribution, _floats)
