"""Count laws as distributions on a finite table of values, relaxed."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from numpyro import distributions as dist

from relaxppl.common import truncate as common
from relaxppl.common.docstring import documented_by
from relaxppl.numpyro.distributions import GeneralizedGumbelSoftmax

COUNTS: dict[type, str] = {
    dist.Poisson: "poisson",
    dist.BinomialProbs: "binomial",
    dist.BinomialLogits: "binomial",
    dist.GeometricProbs: "geometric",
    dist.GeometricLogits: "geometric",
    # The host derives the next three from the last.
    dist.NegativeBinomialProbs: "negative_binomial",
    dist.NegativeBinomialLogits: "negative_binomial",
    dist.NegativeBinomial2: "gamma_poisson",
    dist.GammaPoisson: "gamma_poisson",
}
"""The host's classes of counts, and the names of their laws."""


@documented_by(common.truncated)
def truncate(
    distribution: dist.Distribution,
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


def _floats(*given: Any) -> list[Any]:
    dtype = jnp.result_type(float, *given)
    return [jnp.asarray(x, dtype) for x in given]


_HOST = common.Host(COUNTS, dist.ExpandedDistribution, _floats)
