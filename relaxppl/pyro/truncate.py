"""Count laws as distributions on a finite table of values, relaxed."""

from __future__ import annotations

from typing import Any

import torch
from pyro import distributions as dist

from relaxppl.pyro.distributions import GeneralizedGumbelSoftmax
from relaxppl.relaxations import count_laws
from relaxppl.relaxations.binary import probs_to_logits


def truncate(
    distribution: Any,
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
    :param size: n itself, instead of the tail: required under ``torch.func.vmap``, where the
        parameters are not known when n must be.
    :param hard: whether the number is one of the values, as in
        :class:`~relaxppl.pyro.GeneralizedGumbelSoftmax`.
    :param validate_args: as the host's.
    :returns: a distribution of batch shape (*batch,).
    :raises TypeError: for another distribution.
    :raises ValueError: for a tail outside (0, 1), for a law that needs more than a million values,
        or for traced parameters without a size.

    Joo et al., 2020 (arXiv:2003.01847).
    """
    law, parameters = _law(distribution)
    floating = next(p.dtype for p in reversed(parameters) if p.is_floating_point())
    arrays = tuple(p.to(floating).expand(distribution.batch_shape) for p in parameters)
    values, logits = count_laws.table(law, arrays, tail, size)
    return GeneralizedGumbelSoftmax(
        values, temperature, logits=logits, hard=hard, validate_args=validate_args
    )


def _law(distribution: Any) -> tuple[str, tuple[torch.Tensor, ...]]:
    """Returns the name in ``count_laws.LAWS`` and the parameters of a host's distribution."""
    while isinstance(distribution, dist.ExpandedDistribution):
        distribution = distribution.base_dist
    match distribution:
        case dist.Poisson():
            return "poisson", (distribution.rate,)
        case dist.Binomial():
            return "binomial", (distribution.total_count, _logits(distribution))
        case dist.Geometric():
            return "geometric", (_logits(distribution),)
        case dist.NegativeBinomial():
            return "negative_binomial", (distribution.total_count, _logits(distribution))
        case dist.GammaPoisson():
            rate = distribution.rate
            return "negative_binomial", (distribution.concentration, -rate.log())
    raise TypeError(
        f"truncate takes a Poisson, Binomial, Geometric, NegativeBinomial or GammaPoisson, got "
        f"{type(distribution).__name__}; give GeneralizedGumbelSoftmax its values and probs instead"
    )


def _logits(distribution: Any) -> torch.Tensor:
    if "logits" in distribution.__dict__:
        return distribution.logits
    return probs_to_logits(distribution.probs)
