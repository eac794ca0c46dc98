"""relaxppl for NumPyro: ``import relaxppl.numpyro as rx``."""

try:
    import numpyro as _host  # noqa: F401
except ImportError as error:
    raise ImportError('relaxppl.numpyro needs NumPyro: pip install "relaxppl[numpyro]"') from error

from relaxppl.numpyro.distributions import (
    CorrelatedRelaxedBernoulli,
    DecoupledStraightThroughGumbelSoftmax,
    ExpRelaxedOneHotCategorical,
    GaussianRelaxedBernoulli,
    GeneralizedGumbelSoftmax,
    GumbelSoftmaxTopK,
    HardConcrete,
    InvertibleGaussian,
    LogisticNormalSoftmax,
    LogitRelaxedBernoulli,
    OneHotCategorical,
    RebarRelaxation,
    RelaxedBernoulli,
    RelaxedBernoulliStraightThrough,
    RelaxedOneHotCategorical,
    RelaxedOneHotCategoricalStraightThrough,
    StochasticTimesSmooth,
    StraightThroughBernoulli,
)
from relaxppl.numpyro.elbo import (
    REBAR_ELBO,
    RELAX_ELBO,
    RLOO_ELBO,
    DisARM_ELBO,
    ScoreFunction_ELBO,
)
from relaxppl.numpyro.laplace_bridge import laplace_bridge, laplace_bridge_inverse
from relaxppl.numpyro.truncate import truncate

__all__ = [
    "REBAR_ELBO",
    "RELAX_ELBO",
    "RLOO_ELBO",
    "CorrelatedRelaxedBernoulli",
    "DecoupledStraightThroughGumbelSoftmax",
    "DisARM_ELBO",
    "ExpRelaxedOneHotCategorical",
    "GaussianRelaxedBernoulli",
    "GeneralizedGumbelSoftmax",
    "GumbelSoftmaxTopK",
    "HardConcrete",
    "InvertibleGaussian",
    "LogisticNormalSoftmax",
    "LogitRelaxedBernoulli",
    "OneHotCategorical",
    "RebarRelaxation",
    "RelaxedBernoulli",
    "RelaxedBernoulliStraightThrough",
    "RelaxedOneHotCategorical",
    "RelaxedOneHotCategoricalStraightThrough",
    "ScoreFunction_ELBO",
    "StochasticTimesSmooth",
    "StraightThroughBernoulli",
    "laplace_bridge",
    "laplace_bridge_inverse",
    "truncate",
]
