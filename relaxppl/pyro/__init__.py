"""relaxppl for Pyro: ``import relaxppl.pyro as rx``."""

try:
    import pyro as _host  # noqa: F401
except ImportError as error:
    raise ImportError('relaxppl.pyro needs Pyro: pip install "relaxppl[pyro]"') from error

from relaxppl.pyro.distributions import (
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
