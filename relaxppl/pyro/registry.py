"""Which relaxation stands for which discrete class, by default."""

from __future__ import annotations

import torch
from pyro import distributions as host
from pyro.distributions.torch_distribution import ExpandedDistribution

from relaxppl.common import relax as common
from relaxppl.common.relax import factory_of_class
from relaxppl.pyro import distributions as ours
from relaxppl.pyro.constraints import CONSTRAINTS
from relaxppl.pyro.hardened import Coupled, Hardened
from relaxppl.pyro.truncate import COUNTS, truncate

_REGISTRY = common.Registry()

HOST = common.Host(
    registry=_REGISTRY,
    independent=torch.distributions.Independent,
    expanded=ExpandedDistribution,
    masked=host.MaskedDistribution,
    categorical=(torch.distributions.Categorical,),
    distribution=host.Distribution,
    flags=(host.constraints.boolean, *(CONSTRAINTS[name] for name in common.FLAGS)),
    hardened=Hardened,
    coupled=Coupled,
    sample="pyro.sample",
)


register_relaxation, relaxation_of = _REGISTRY.register, HOST.relaxation_of


register_relaxation(torch.distributions.Bernoulli, factory_of_class(ours.RelaxedBernoulli))
register_relaxation(
    torch.distributions.OneHotCategorical, factory_of_class(ours.RelaxedOneHotCategorical)
)
register_relaxation(ours.MarkovChain, factory_of_class(ours.RelaxedMarkovChain))
register_relaxation(ours.ConditionalBernoulli, factory_of_class(ours.SubsetStraightThrough))
for _cls in COUNTS:
    register_relaxation(_cls, common.OfWeights(truncate))
