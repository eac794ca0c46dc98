"""One file per relaxation: its mathematics, once, for both hosts."""

from relaxppl.relaxations.categorical import OneHotCategorical
from relaxppl.relaxations.conditional_bernoulli import ConditionalBernoulli
from relaxppl.relaxations.correlated_relaxed_bernoulli import CorrelatedRelaxedBernoulli
from relaxppl.relaxations.decoupled_straight_through import DecoupledStraightThroughGumbelSoftmax
from relaxppl.relaxations.gaussian_relaxed_bernoulli import GaussianRelaxedBernoulli
from relaxppl.relaxations.generalized_gumbel_softmax import GeneralizedGumbelSoftmax
from relaxppl.relaxations.gumbel_rao import GumbelRaoBernoulli, GumbelRaoOneHotCategorical
from relaxppl.relaxations.gumbel_sinkhorn import GumbelSinkhorn
from relaxppl.relaxations.gumbel_softmax_top_k import GumbelSoftmaxTopK
from relaxppl.relaxations.hard_concrete import HardConcrete
from relaxppl.relaxations.invertible_gaussian import InvertibleGaussian
from relaxppl.relaxations.logistic_normal import LogisticNormalSoftmax
from relaxppl.relaxations.markov_chain import MarkovChain
from relaxppl.relaxations.plackett_luce import PlackettLuce
from relaxppl.relaxations.rebar_relaxation import RebarRelaxation
from relaxppl.relaxations.reinmax import ReinMaxBernoulli, ReinMaxOneHotCategorical
from relaxppl.relaxations.relaxed_bernoulli import (
    LogitRelaxedBernoulli,
    RelaxedBernoulli,
    RelaxedBernoulliStraightThrough,
)
from relaxppl.relaxations.relaxed_markov_chain import RelaxedMarkovChain
from relaxppl.relaxations.relaxed_one_hot import (
    ExpRelaxedOneHotCategorical,
    RelaxedOneHotCategorical,
    RelaxedOneHotCategoricalStraightThrough,
)
from relaxppl.relaxations.stochastic_times_smooth import StochasticTimesSmooth
from relaxppl.relaxations.straight_through_bernoulli import StraightThroughBernoulli
from relaxppl.relaxations.subset_straight_through import SubsetStraightThrough

__all__ = [
    "ConditionalBernoulli",
    "CorrelatedRelaxedBernoulli",
    "DecoupledStraightThroughGumbelSoftmax",
    "ExpRelaxedOneHotCategorical",
    "GaussianRelaxedBernoulli",
    "GeneralizedGumbelSoftmax",
    "GumbelRaoBernoulli",
    "GumbelRaoOneHotCategorical",
    "GumbelSinkhorn",
    "GumbelSoftmaxTopK",
    "HardConcrete",
    "InvertibleGaussian",
    "LogisticNormalSoftmax",
    "LogitRelaxedBernoulli",
    "MarkovChain",
    "OneHotCategorical",
    "PlackettLuce",
    "RebarRelaxation",
    "ReinMaxBernoulli",
    "ReinMaxOneHotCategorical",
    "RelaxedBernoulli",
    "RelaxedBernoulliStraightThrough",
    "RelaxedMarkovChain",
    "RelaxedOneHotCategorical",
    "RelaxedOneHotCategoricalStraightThrough",
    "StochasticTimesSmooth",
    "StraightThroughBernoulli",
    "SubsetStraightThrough",
]
