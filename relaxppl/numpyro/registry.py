"""Which relaxation stands for which discrete class, by default."""

from __future__ import annotations

from numpyro import distributions as host

from relaxppl.common import relax as common
from relaxppl.common.relax import factory_of_class
from relaxppl.numpyro import distributions as ours
from relaxppl.numpyro.constraints import CONSTRAINTS
from relaxppl.numpyro.hardened import Coupled, Hardened
from relaxppl.numpyro.truncate import COUNTS, truncate

_REGISTRY = common.Registry()

HOST = common.Host(
    registry=_REGISTRY,
    independent=host.Independent,
    expanded=host.ExpandedDistribution,
    masked=host.MaskedDistribution,
    categorical=(host.CategoricalProbs, host.CategoricalLogits),
    distribution=host.Distribution,
    flags=(host.constraints.boolean, *(CONSTRAINTS[name] for name in common.FLAGS)),
    hardened=Hardened,
    coupled=Coupled,
    sample="numpyro.sample",
)


register_relaxation, relaxation_of = _REGISTRY.register, HOST.relaxation_of


for _cls in (host.BernoulliProbs, host.BernoulliLogits):
    register_relaxation(_cls, factory_of_class(ours.RelaxedBernoulli))
register_relaxation(ours.OneHotCategorical, factory_of_class(ours.RelaxedOneHotCategorical))
register_relaxation(ours.MarkovChain, factory_of_class(ours.RelaxedMarkovChain))
register_relaxation(ours.ConditionalBernoulli, factory_of_class(ours.SubsetStraightThrough))
for _cls in COUNTS:
    register_relaxation(_cls, common.OfWeights(truncate))
