"""The relaxations as Pyro distributions: one line each."""

from __future__ import annotations

from pyro.distributions import OneHotCategorical

from relaxppl.pyro.shell import RelaxedDistribution
from relaxppl.relaxations import relaxed_bernoulli, relaxed_one_hot, straight_through_bernoulli


class RelaxedBernoulli(RelaxedDistribution):
    relaxation = relaxed_bernoulli.RelaxedBernoulli


class LogitRelaxedBernoulli(RelaxedDistribution):
    relaxation = relaxed_bernoulli.LogitRelaxedBernoulli


class RelaxedBernoulliStraightThrough(RelaxedDistribution):
    relaxation = relaxed_bernoulli.RelaxedBernoulliStraightThrough


class StraightThroughBernoulli(RelaxedDistribution):
    relaxation = straight_through_bernoulli.StraightThroughBernoulli


class RelaxedOneHotCategorical(RelaxedDistribution):
    relaxation = relaxed_one_hot.RelaxedOneHotCategorical


class ExpRelaxedOneHotCategorical(RelaxedDistribution):
    relaxation = relaxed_one_hot.ExpRelaxedOneHotCategorical


class RelaxedOneHotCategoricalStraightThrough(RelaxedDistribution):
    relaxation = relaxed_one_hot.RelaxedOneHotCategoricalStraightThrough
