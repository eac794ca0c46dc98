"""What bench_distributions times on torch: a sample of each class, and plain code for its law.

Every program is a function without arguments from the parameters that it closes over to a sample.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pyro.distributions as dist
import torch
from torch.distributions.relaxed_bernoulli import LogitRelaxedBernoulli
from torch.distributions.relaxed_categorical import ExpRelaxedCategorical
from torch.nn import functional
from torch.special import log_ndtr

import relaxppl.pyro as rx

ELEMENTS, CLASSES, DRAWN = 100_000, 10, 3
Program = Callable[[], torch.Tensor]

FLOAT = torch.finfo(torch.float32)
LEAST = FLOAT.tiny / FLOAT.eps
TEMPERATURE = torch.tensor(0.6)
VALUES = torch.arange(CLASSES, dtype=torch.float32)
CORRELATION = torch.full((CLASSES, CLASSES), 0.3) + 0.7 * torch.eye(CLASSES)

torch.manual_seed(0)
SCALAR = torch.randn(ELEMENTS, requires_grad=True)
VECTOR = torch.randn(ELEMENTS // CLASSES, CLASSES, requires_grad=True)
SCALE = torch.rand(ELEMENTS // CLASSES, CLASSES) + 0.5
PARAMETERS = (SCALAR, VECTOR)


def uniform(shape: Any) -> torch.Tensor:
    return torch.rand(shape).clamp(min=FLOAT.eps / 4)


def logistic() -> torch.Tensor:
    return torch.logit(uniform(SCALAR.shape))


def gumbel() -> torch.Tensor:
    return -torch.log(-torch.log(uniform(VECTOR.shape)))


def through(hard: torch.Tensor, soft: torch.Tensor) -> torch.Tensor:
    return hard + (soft - soft.detach())


def inside(x: torch.Tensor) -> torch.Tensor:
    return x.clamp(LEAST, 1 - FLOAT.eps)


def softmax(x: torch.Tensor) -> torch.Tensor:
    return torch.softmax(x, -1).clamp(LEAST, 1.0)


def perturbed() -> torch.Tensor:
    return torch.log_softmax(VECTOR, -1) + gumbel()


def largest(z: torch.Tensor) -> torch.Tensor:
    return functional.one_hot(z.argmax(-1), CLASSES).to(z.dtype)


def relaxed_bernoulli_through() -> torch.Tensor:
    z = SCALAR + logistic()
    return through((z > 0).to(z.dtype), torch.sigmoid(z / TEMPERATURE))


def straight_through_bernoulli() -> torch.Tensor:
    p = torch.sigmoid(SCALAR)
    return through((torch.rand(SCALAR.shape) < p).to(p.dtype), p)


def rebar() -> torch.Tensor:
    t = TEMPERATURE
    return inside(torch.sigmoid(((t * t + t + 1) / (t + 1) * SCALAR + logistic()) / t))


def stochastic_times_smooth() -> torch.Tensor:
    root = torch.sigmoid(SCALAR).sqrt()
    return (torch.rand(SCALAR.shape) < root).to(root.dtype) * root


def correlated() -> torch.Tensor:
    w = torch.randn(VECTOR.shape) @ torch.linalg.cholesky(CORRELATION).T
    return inside(torch.sigmoid((VECTOR + log_ndtr(w) - log_ndtr(-w)) / TEMPERATURE))


def one_hot_through() -> torch.Tensor:
    z = perturbed()
    return through(largest(z), torch.softmax(z / TEMPERATURE, -1))


def top_k(hard: bool) -> torch.Tensor:
    z = w = perturbed()
    total = torch.zeros_like(z)
    for _ in range(DRAWN):
        x = torch.softmax(w / TEMPERATURE, -1)
        total = total + x
        w = w + torch.log1p(-x.clamp(max=1 - FLOAT.eps))
    if not hard:
        return total
    index = z.topk(DRAWN).indices
    return through(torch.zeros_like(z).scatter_(-1, index, 1.0), total)


def invertible_gaussian() -> torch.Tensor:
    y = VECTOR + SCALE * torch.randn(VECTOR.shape)
    return softmax(torch.cat([y / TEMPERATURE, torch.zeros(len(y), 1)], -1))


PLAIN: dict[str, Program] = {
    "RelaxedBernoulli": lambda: inside(torch.sigmoid((SCALAR + logistic()) / TEMPERATURE)),
    "LogitRelaxedBernoulli": lambda: (SCALAR + logistic()) / TEMPERATURE,
    "RelaxedBernoulliStraightThrough": relaxed_bernoulli_through,
    "StraightThroughBernoulli": straight_through_bernoulli,
    "RebarRelaxation": rebar,
    "RelaxedOneHotCategorical": lambda: softmax(perturbed() / TEMPERATURE),
    "ExpRelaxedOneHotCategorical": lambda: torch.log_softmax(perturbed() / TEMPERATURE, -1),
    "RelaxedOneHotCategoricalStraightThrough": one_hot_through,
    "DecoupledStraightThroughGumbelSoftmax": one_hot_through,
    "GaussianRelaxedBernoulli": lambda: (SCALAR + 0.6 * torch.randn(ELEMENTS)).clamp(0, 1),
    "HardConcrete": lambda: (1.2 * torch.sigmoid((SCALAR + logistic()) / TEMPERATURE) - 0.1).clamp(
        0, 1
    ),
    "CorrelatedRelaxedBernoulli": correlated,
    "StochasticTimesSmooth": stochastic_times_smooth,
    "InvertibleGaussian": invertible_gaussian,
    "LogisticNormalSoftmax": lambda: softmax(VECTOR + SCALE * torch.randn(VECTOR.shape)),
    "GumbelSoftmaxTopK": lambda: top_k(False),
    "GumbelSoftmaxTopK hard": lambda: top_k(True),
    "GeneralizedGumbelSoftmax": lambda: torch.softmax(perturbed() / TEMPERATURE, -1) @ VALUES,
    "GeneralizedGumbelSoftmax hard": lambda: one_hot_through() @ VALUES,
}


def hosts(validate: bool | None) -> dict[str, Callable[[], Any]]:
    """Pyro's own classes, and torch's two that it has no name for, by our names."""
    t, scalar, vector = TEMPERATURE, {"logits": SCALAR}, {"logits": VECTOR}
    v = {"validate_args": validate}
    return {
        "RelaxedBernoulli": lambda: dist.RelaxedBernoulli(t, **scalar, **v),
        "LogitRelaxedBernoulli": lambda: LogitRelaxedBernoulli(t, **scalar, **v),
        "RelaxedBernoulliStraightThrough": lambda: dist.RelaxedBernoulliStraightThrough(
            t, **scalar, **v
        ),
        "RelaxedOneHotCategorical": lambda: dist.RelaxedOneHotCategorical(t, **vector, **v),
        "ExpRelaxedOneHotCategorical": lambda: ExpRelaxedCategorical(t, **vector, **v),
        "RelaxedOneHotCategoricalStraightThrough": (
            lambda: dist.RelaxedOneHotCategoricalStraightThrough(t, **vector, **v)
        ),
    }


def rejects_itself(make: Callable[[], Any]) -> bool:
    """Whether the density refuses the law's own sample."""
    law = make()
    try:
        law.log_prob(law.rsample())
    except ValueError:
        return True
    return False


def constructors(validate: bool | None) -> dict[str, Callable[[], Any]]:
    """The classes of this library, by the same names."""
    v = {"validate_args": validate}
    t, k = TEMPERATURE, DRAWN
    made: dict[str, Callable[[], Any]] = {
        name: lambda name=name: getattr(rx, name)(t, logits=SCALAR, **v)
        for name in (
            "RelaxedBernoulli",
            "LogitRelaxedBernoulli",
            "RelaxedBernoulliStraightThrough",
            "RebarRelaxation",
            "HardConcrete",
        )
    }
    made |= {
        name: lambda name=name: getattr(rx, name)(t, logits=VECTOR, **v)
        for name in (
            "RelaxedOneHotCategorical",
            "ExpRelaxedOneHotCategorical",
            "RelaxedOneHotCategoricalStraightThrough",
        )
    }
    made |= {
        "StraightThroughBernoulli": lambda: rx.StraightThroughBernoulli(logits=SCALAR, **v),
        "StochasticTimesSmooth": lambda: rx.StochasticTimesSmooth(logits=SCALAR, **v),
        "DecoupledStraightThroughGumbelSoftmax": lambda: rx.DecoupledStraightThroughGumbelSoftmax(
            0.3, t, logits=VECTOR, **v
        ),
        "GaussianRelaxedBernoulli": lambda: rx.GaussianRelaxedBernoulli(SCALAR, 0.6, **v),
        "CorrelatedRelaxedBernoulli": lambda: rx.CorrelatedRelaxedBernoulli(
            t, logits=VECTOR, correlation_matrix=CORRELATION, **v
        ),
        "InvertibleGaussian": lambda: rx.InvertibleGaussian(t, VECTOR, SCALE, **v),
        "LogisticNormalSoftmax": lambda: rx.LogisticNormalSoftmax(VECTOR, SCALE, **v),
    }
    for hard in (False, True):
        suffix = " hard" * hard
        made |= {
            f"GumbelSoftmaxTopK{suffix}": lambda hard=hard: rx.GumbelSoftmaxTopK(
                k, t, logits=VECTOR, hard=hard, **v
            ),
            f"GeneralizedGumbelSoftmax{suffix}": lambda hard=hard: rx.GeneralizedGumbelSoftmax(
                VALUES, t, logits=VECTOR, hard=hard, **v
            ),
        }
    return made


def drawn(make: Callable[[], Any]) -> Program:
    """A sample of a class of this library."""
    return lambda: make().rsample()


def timed(program: Program) -> Callable[[], None]:
    """A function that draws, squares, sums and differentiates."""

    def run() -> None:
        for parameter in PARAMETERS:
            parameter.grad = None
        (program() ** 2).sum().backward()

    return run


def scored(make: Callable[[], Any]) -> Callable[[], None]:
    """A function that makes a distribution, draws, scores the draw and differentiates both."""

    def run() -> None:
        for parameter in PARAMETERS:
            parameter.grad = None
        law = make()
        sample = law.rsample()
        ((sample**2).sum() + law.log_prob(sample).sum()).backward()

    return run
