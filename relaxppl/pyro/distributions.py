"""The relaxations as Pyro distributions: a line each, under the relaxation's own name."""

from pyro.distributions import OneHotCategorical as OneHotCategorical

from relaxppl.common.distributions import Conditioned, Weighted
from relaxppl.pyro.shell import RelaxedDistribution


class RelaxedBernoulli(RelaxedDistribution): ...


class LogitRelaxedBernoulli(RelaxedDistribution): ...


class RelaxedBernoulliStraightThrough(RelaxedDistribution): ...


class StraightThroughBernoulli(RelaxedDistribution): ...


class RelaxedOneHotCategorical(RelaxedDistribution): ...


class ExpRelaxedOneHotCategorical(RelaxedDistribution): ...


class RelaxedOneHotCategoricalStraightThrough(RelaxedDistribution): ...


class DecoupledStraightThroughGumbelSoftmax(RelaxedDistribution): ...


class ReinMaxOneHotCategorical(RelaxedDistribution): ...


class ReinMaxBernoulli(RelaxedDistribution): ...


class GumbelRaoOneHotCategorical(RelaxedDistribution): ...


class GumbelRaoBernoulli(RelaxedDistribution): ...


class InvertibleGaussian(RelaxedDistribution): ...


class LogisticNormalSoftmax(RelaxedDistribution): ...


class GumbelSoftmaxTopK(RelaxedDistribution): ...


class ConditionalBernoulli(RelaxedDistribution): ...


class SubsetStraightThrough(RelaxedDistribution): ...


class PlackettLuce(RelaxedDistribution): ...


class GumbelSinkhorn(RelaxedDistribution): ...


class GeneralizedGumbelSoftmax(Weighted, RelaxedDistribution):
    laws_of_weights = RelaxedOneHotCategorical, RelaxedOneHotCategoricalStraightThrough


class MarkovChain(Conditioned, RelaxedDistribution): ...


class RelaxedMarkovChain(RelaxedDistribution): ...


class CorrelatedRelaxedBernoulli(RelaxedDistribution): ...


class GaussianRelaxedBernoulli(RelaxedDistribution): ...


class HardConcrete(RelaxedDistribution): ...


class RebarRelaxation(RelaxedDistribution): ...


class StochasticTimesSmooth(RelaxedDistribution): ...
