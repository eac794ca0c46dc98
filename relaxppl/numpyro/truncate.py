"""Count laws as distributions on a finite table of values, relaxed."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from numpyro import distributions as dist

from relaxppl.common import truncate as common
from relaxppl.numpyro.distributions import GeneralizedGumbelSoftmax

_CLASSES: dict[type, str] = {
    dist.Poisson: "poisson",
    dist.BinomialProbs: "binomial",
    dist.BinomialLogits: "binomial",
    dist.GeometricProbs: "geometric",
    dist.GeometricLogits: "geometric",
    # The host derives these from the last.
    dist.NegativeBinomialProbs: "negative_binomial",
    dist.NegativeBinomialLogits: "negative_binomial",
    dist.GammaPoisson: "gamma_poisson",
}


def truncate(
    distribution: dist.Distribution,
    temperature: Any,
    tail: float = 1e-6,
    *,
    size: int | None = None,
    hard: bool = False,
    validate_args: bool | None = None,
) -> GeneralizedGumbelSoftmax:
    """Returns a count law as a relaxed distribution on 0, ..., n - 1.

    The mass above n - 1 is on n - 1, and n is the least that leaves at most the tail above, for
    every law of the batch. The parameters of the count law stay differentiable.

    :param distribution: a Poisson, binomial, geometric or negative binomial (gamma-Poisson) law,
        (*batch,), expanded or not.
    :param temperature: positive, broadcasting with the batch.
    :param tail: the mass that may lie above n - 1, between 0 and 1.
    :param size: n itself, instead of the tail: required under ``jit``, where the parameters are
        not known when n must be.
    :param hard: whether the number is one of the values, as in
        :class:`~relaxppl.numpyro.GeneralizedGumbelSoftmax`.
    :param validate_args: as the host's.
    :returns: a distribution of batch shape (*batch,).
    :raises TypeError: for another distribution.
    :raises ValueError: for a tail outside (0, 1), for a law that needs more than a million values,
        or for traced parameters without a size.

    Joo et al., 2020 (arXiv:2003.01847).
    """
    values, logits = common.truncated(
        distribution, _CLASSES, dist.ExpandedDistribution, _floats, tail, size
    )
    return GeneralizedGumbelSoftmax(
        values, temperature, logits=logits, hard=hard, validate_args=validate_args
    )


def _floats(*given: Any) -> list[Any]:
    dtype = jnp.result_type(float, *given)
    return [jnp.asarray(x, dtype) for x in given]
