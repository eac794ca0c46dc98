"""relaxppl for NumPyro: ``import relaxppl.numpyro as rx``."""

try:
    import numpyro as _host  # noqa: F401
except ImportError as error:
    raise ImportError('relaxppl.numpyro needs NumPyro: pip install "relaxppl[numpyro]"') from error

from relaxppl.numpyro.distributions import (
    DecoupledStraightThroughGumbelSoftmax,
    ExpRelaxedOneHotCategorical,
    GeneralizedGumbelSoftmax,
    GumbelSoftmaxTopK,
    InvertibleGaussian,
    LogisticNormalSoftmax,
    LogitRelaxedBernoulli,
    OneHotCategorical,
    RelaxedBernoulli,
    RelaxedBernoulliStraightThrough,
    RelaxedOneHotCategorical,
    RelaxedOneHotCategoricalStraightThrough,
    StraightThroughBernoulli,
)

__all__ = [
    "DecoupledStraightThroughGumbelSoftmax",
    "ExpRelaxedOneHotCategorical",
    "GeneralizedGumbelSoftmax",
    "GumbelSoftmaxTopK",
    "InvertibleGaussian",
    "LogisticNormalSoftmax",
    "LogitRelaxedBernoulli",
    "OneHotCategorical",
    "RelaxedBernoulli",
    "RelaxedBernoulliStraightThrough",
    "RelaxedOneHotCategorical",
    "RelaxedOneHotCategoricalStraightThrough",
    "StraightThroughBernoulli",
]
