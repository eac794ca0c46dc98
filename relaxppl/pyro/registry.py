"""Which relaxation stands for which discrete class, by default."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from pyro import distributions as host
from pyro.distributions.torch_distribution import ExpandedDistribution

from relaxppl import relaxing
from relaxppl.pyro import distributions as ours
from relaxppl.pyro.hardened import Coupled, Hardened
from relaxppl.pyro.truncate import truncate
from relaxppl.relaxing import probs_or_logits

_REGISTRY = relaxing.Registry()

HOST = relaxing.Host(
    registry=_REGISTRY,
    independent=torch.distributions.Independent,
    expanded=ExpandedDistribution,
    masked=host.MaskedDistribution,
    categorical=(torch.distributions.Categorical,),
    distribution=host.Distribution,
    hardened=Hardened,
    coupled=Coupled,
    sample="pyro.sample",
)


def register_relaxation(
    cls: type, factory: Callable[[Any, Any], Any], replace: bool = False
) -> None:
    """Makes a factory the relaxation of a discrete class and of its subclasses in ``relax``.

    :param cls: a class of discrete distributions.
    :param factory: takes an instance of it, without the wrappers of to_event, expand and mask, and
        a temperature; returns a distribution with the same event shape.
    :param replace: whether it may take the place of an earlier one.
    :raises TypeError: if cls is not a class or the factory cannot be called.
    :raises ValueError: if the class has a factory and replace is False.
    """
    _REGISTRY.register(cls, factory, replace)


def relaxation_of(distribution: Any, temperature: Any) -> Any:
    """Returns the registered relaxation of a discrete distribution.

    :param distribution: a discrete distribution, possibly inside to_event, expand and mask.
    :param temperature: positive.
    :returns: a distribution of the same batch shape, in the same wrappers.
    :raises ValueError: if its class has none.
    """
    return relaxing.relaxation_of(HOST, distribution, temperature)


def _bernoulli(distribution: Any, temperature: Any) -> Any:
    return ours.RelaxedBernoulli(temperature, **probs_or_logits(distribution))


def _one_hot(distribution: Any, temperature: Any) -> Any:
    return ours.RelaxedOneHotCategorical(temperature, **probs_or_logits(distribution))


register_relaxation(torch.distributions.Bernoulli, _bernoulli)
register_relaxation(torch.distributions.OneHotCategorical, _one_hot)
for _cls in (
    torch.distributions.Binomial,
    torch.distributions.Poisson,
    torch.distributions.Geometric,
    torch.distributions.NegativeBinomial,
    host.GammaPoisson,
):
    register_relaxation(_cls, relaxing.OfWeights(truncate))
