"""relaxppl for Pyro: ``import relaxppl.pyro as rx``."""

try:
    import pyro as _host  # noqa: F401
except ImportError as error:
    raise ImportError('relaxppl.pyro needs Pyro: pip install "relaxppl[pyro]"') from error

from pyro.infer.autoguide import AutoGuideList

from relaxppl.common.arviz import pareto_k
from relaxppl.pyro.arviz import to_arviz
from relaxppl.pyro.auto import AutoDiscrete
from relaxppl.pyro.bound import discrete_elbo
from relaxppl.pyro.diagnostics import compare_estimators, gradient_stats
from relaxppl.pyro.distributions import (
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
from relaxppl.pyro.divergences import kl_divergence
from relaxppl.pyro.elbo.classes import (
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
from relaxppl.pyro.evidence import log_evidence
from relaxppl.pyro.finite_count import FiniteCount
from relaxppl.pyro.fit import fit
from relaxppl.pyro.laplace_bridge import laplace_bridge, laplace_bridge_inverse
from relaxppl.pyro.recommend import recommend
from relaxppl.pyro.registry import register_relaxation, relaxation_of
from relaxppl.pyro.relax import RelaxReparam, relax
from relaxppl.pyro.step import count_steps, current_step
from relaxppl.pyro.truncate import truncate
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
