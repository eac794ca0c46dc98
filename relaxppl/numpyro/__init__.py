"""relaxppl for NumPyro: ``import relaxppl.numpyro as rx``."""

try:
    import numpyro as _host  # noqa: F401
except ImportError as error:
    raise ImportError('relaxppl.numpyro needs NumPyro: pip install "relaxppl[numpyro]"') from error

from relaxppl.common.arviz import pareto_k
from relaxppl.numpyro.arviz import to_arviz
from relaxppl.numpyro.auto import AutoDiscrete
from relaxppl.numpyro.bound import discrete_elbo
from relaxppl.numpyro.diagnostics import compare_estimators, gradient_stats
from relaxppl.numpyro.distributions import (
    ConditionalBernoulli,
    CorrelatedRelaxedBernoulli,
    DecoupledStraightThroughGumbelSoftmax,
    ExpRelaxedOneHotCategorical,
    GaussianRelaxedBernoulli,
    GeneralizedGumbelSoftmax,
    GumbelRaoBernoulli,
    GumbelRaoOneHotCategorical,
    GumbelSinkhorn,
    GumbelSoftmaxTopK,
    HardConcrete,
    InvertibleGaussian,
    LogisticNormalSoftmax,
    LogitRelaxedBernoulli,
    MarkovChain,
    OneHotCategorical,
    PlackettLuce,
    RebarRelaxation,
    ReinMaxBernoulli,
    ReinMaxOneHotCategorical,
    RelaxedBernoulli,
    RelaxedBernoulliStraightThrough,
    RelaxedMarkovChain,
    RelaxedOneHotCategorical,
    RelaxedOneHotCategoricalStraightThrough,
    StochasticTimesSmooth,
    StraightThroughBernoulli,
    SubsetStraightThrough,
)
from relaxppl.numpyro.divergences import kl_divergence
from relaxppl.numpyro.elbo.classes import (
    ARMS_ELBO,
    REBAR_ELBO,
    RELAX_ELBO,
    RLOO_ELBO,
    VIMCO_ELBO,
    Coupled_ELBO,
    DisARM_ELBO,
    LocalExpectation_ELBO,
    ReweightedWakeSleep_ELBO,
    ScoreFunction_ELBO,
)
from relaxppl.numpyro.evidence import log_evidence
from relaxppl.numpyro.finite_count import FiniteCount
from relaxppl.numpyro.fit import fit
from relaxppl.numpyro.guide_list import AutoGuideList
from relaxppl.numpyro.laplace_bridge import laplace_bridge, laplace_bridge_inverse
from relaxppl.numpyro.recommend import recommend
from relaxppl.numpyro.registry import register_relaxation, relaxation_of
from relaxppl.numpyro.relax import RelaxReparam, relax
from relaxppl.numpyro.step import count_steps, current_step
from relaxppl.numpyro.truncate import truncate
from relaxppl.schedules import (
    ConstantSchedule,
    CosineSchedule,
    ExponentialSchedule,
    LinearSchedule,
    PiecewiseSchedule,
)

__all__ = [
    "ARMS_ELBO",
    "REBAR_ELBO",
    "RELAX_ELBO",
    "RLOO_ELBO",
    "VIMCO_ELBO",
    "AutoDiscrete",
    "AutoGuideList",
    "ConditionalBernoulli",
    "ConstantSchedule",
    "CorrelatedRelaxedBernoulli",
    "CosineSchedule",
    "Coupled_ELBO",
    "DecoupledStraightThroughGumbelSoftmax",
    "DisARM_ELBO",
    "ExpRelaxedOneHotCategorical",
    "ExponentialSchedule",
    "FiniteCount",
    "GaussianRelaxedBernoulli",
    "GeneralizedGumbelSoftmax",
    "GumbelRaoBernoulli",
    "GumbelRaoOneHotCategorical",
    "GumbelSinkhorn",
    "GumbelSoftmaxTopK",
    "HardConcrete",
    "InvertibleGaussian",
    "LinearSchedule",
    "LocalExpectation_ELBO",
    "LogisticNormalSoftmax",
    "LogitRelaxedBernoulli",
    "MarkovChain",
    "OneHotCategorical",
    "PiecewiseSchedule",
    "PlackettLuce",
    "RebarRelaxation",
    "ReinMaxBernoulli",
    "ReinMaxOneHotCategorical",
    "RelaxReparam",
    "RelaxedBernoulli",
    "RelaxedBernoulliStraightThrough",
    "RelaxedMarkovChain",
    "RelaxedOneHotCategorical",
    "RelaxedOneHotCategoricalStraightThrough",
    "ReweightedWakeSleep_ELBO",
    "ScoreFunction_ELBO",
    "StochasticTimesSmooth",
    "StraightThroughBernoulli",
    "SubsetStraightThrough",
    "compare_estimators",
    "count_steps",
    "current_step",
    "discrete_elbo",
    "fit",
    "gradient_stats",
    "kl_divergence",
    "laplace_bridge",
    "laplace_bridge_inverse",
    "log_evidence",
    "pareto_k",
    "recommend",
    "register_relaxation",
    "relax",
    "relaxation_of",
    "to_arviz",
    "truncate",
]
