"""The relaxations as NumPyro distributions: one line each."""

from __future__ import annotations

from relaxppl import ops
from relaxppl.common.chain import Conditioned
from relaxppl.numpyro.shell import RelaxedDistribution
from relaxppl.relaxations import (
    categorical,
    conditional_bernoulli,
    correlated_relaxed_bernoulli,
    decoupled_straight_through,
    gaussian_relaxed_bernoulli,
    generalized_gumbel_softmax,
    gumbel_rao,
    gumbel_sinkhorn,
    gumbel_softmax_top_k,
    hard_concrete,
    invertible_gaussian,
    logistic_normal,
    markov_chain,
    plackett_luce,
    rebar_relaxation,
    reinmax,
    relaxed_bernoulli,
    relaxed_markov_chain,
    relaxed_one_hot,
    stochastic_times_smooth,
    straight_through_bernoulli,
    subset_straight_through,
)


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


class OneHotCategorical(RelaxedDistribution):
    relaxation = categorical.OneHotCategorical


class DecoupledStraightThroughGumbelSoftmax(RelaxedDistribution):
    relaxation = decoupled_straight_through.DecoupledStraightThroughGumbelSoftmax


class ReinMaxOneHotCategorical(RelaxedDistribution):
    relaxation = reinmax.ReinMaxOneHotCategorical


class ReinMaxBernoulli(RelaxedDistribution):
    relaxation = reinmax.ReinMaxBernoulli


class GumbelRaoOneHotCategorical(RelaxedDistribution):
    relaxation = gumbel_rao.GumbelRaoOneHotCategorical


class GumbelRaoBernoulli(RelaxedDistribution):
    relaxation = gumbel_rao.GumbelRaoBernoulli


class InvertibleGaussian(RelaxedDistribution):
    relaxation = invertible_gaussian.InvertibleGaussian


class LogisticNormalSoftmax(RelaxedDistribution):
    relaxation = logistic_normal.LogisticNormalSoftmax


class GumbelSoftmaxTopK(RelaxedDistribution):
    relaxation = gumbel_softmax_top_k.GumbelSoftmaxTopK


class ConditionalBernoulli(RelaxedDistribution):
    relaxation = conditional_bernoulli.ConditionalBernoulli


class SubsetStraightThrough(RelaxedDistribution):
    relaxation = subset_straight_through.SubsetStraightThrough


class PlackettLuce(RelaxedDistribution):
    relaxation = plackett_luce.PlackettLuce


class GumbelSinkhorn(RelaxedDistribution):
    relaxation = gumbel_sinkhorn.GumbelSinkhorn


class GeneralizedGumbelSoftmax(RelaxedDistribution):
    relaxation = generalized_gumbel_softmax.GeneralizedGumbelSoftmax

    @property
    def weights(self) -> RelaxedDistribution:
        """The distribution of the weights (*batch, n): a site with a density."""
        law = self.law
        made = RelaxedOneHotCategoricalStraightThrough if law.hard else RelaxedOneHotCategorical
        logits = ops.broadcast_to(law.logits, (*self.batch_shape, law.size))
        temperature, logits = self._kept(law.temperature), self._kept(logits)
        return made(temperature, logits=logits, validate_args=self._validate_args)


class MarkovChain(Conditioned, RelaxedDistribution):
    relaxation = markov_chain.MarkovChain


class RelaxedMarkovChain(RelaxedDistribution):
    relaxation = relaxed_markov_chain.RelaxedMarkovChain


class CorrelatedRelaxedBernoulli(RelaxedDistribution):
    relaxation = correlated_relaxed_bernoulli.CorrelatedRelaxedBernoulli


class GaussianRelaxedBernoulli(RelaxedDistribution):
    relaxation = gaussian_relaxed_bernoulli.GaussianRelaxedBernoulli


class HardConcrete(RelaxedDistribution):
    relaxation = hard_concrete.HardConcrete


class RebarRelaxation(RelaxedDistribution):
    relaxation = rebar_relaxation.RebarRelaxation


class StochasticTimesSmooth(RelaxedDistribution):
    relaxation = stochastic_times_smooth.StochasticTimesSmooth
