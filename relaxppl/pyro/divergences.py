"""The exact KL rules, in torch's own registry: TraceMeanField_ELBO finds them there."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

import torch
from torch import distributions as host
from torch.distributions import kl_divergence, register_kl
from torch.distributions.relaxed_bernoulli import LogitRelaxedBernoulli
from torch.distributions.relaxed_categorical import ExpRelaxedCategorical

from relaxppl.pyro import distributions as ours
from relaxppl.relaxations import divergences

__all__ = ["kl_divergence", "same"]


def same(a: torch.Tensor, b: torch.Tensor) -> bool:
    """Returns whether two parameters are known to be equal, also as functions of what is learned.

    A tensor that carries a gradient is only equal to itself (or to an expansion of itself): were a
    learned temperature taken for equal to a fixed one of the same value, its gradient would be
    lost. Under ``torch.func.vmap`` values are not known either.

    :param a: a tensor.
    :param b: a tensor of a shape that broadcasts with the first.
    """
    if a is b:
        return True
    if a.requires_grad or b.requires_grad:
        source_a = a if a._base is None else a._base
        source_b = b if b._base is None else b._base
        return source_a is source_b and (source_a.numel() == 1 or _geometry(a) == _geometry(b))
    try:
        return bool((a == b).all())
    except RuntimeError:
        return False


def _geometry(a: torch.Tensor) -> tuple[Any, ...]:
    return a.storage_offset(), a.shape, a.stride()


def _need_equal(p: Any, q: Any, name: str) -> None:
    if not same(getattr(p, name), getattr(q, name)):
        raise NotImplementedError(
            f"KL({type(p).__name__} | {type(q).__name__}) is exact at equal {name}s only: build "
            f"both from one {name}, or let the ELBO sample"
        )


def _over_batch(kl: Any, p: Any, q: Any) -> Any:
    return kl.expand(torch.broadcast_shapes(p.batch_shape, q.batch_shape))


def _bernoulli(p: Any, q: Any) -> Any:
    return _over_batch(divergences.bernoulli(p.logits, q.logits), p, q)


def _one_hot(p: Any, q: Any) -> Any:
    kl = divergences.one_hot_categorical(_class_logits(p), _class_logits(q))
    return _over_batch(kl, p, q)


def _class_logits(d: Any) -> Any:
    return d.law.log_probs if isinstance(d, ours.RelaxedDistribution) else d.logits


def _relaxed_bernoulli(p: Any, q: Any) -> Any:
    _need_equal(p, q, "temperature")
    return _over_batch(divergences.relaxed_bernoulli(_location(p), _location(q)), p, q)


def _location(d: Any) -> Any:
    return d.law.location if isinstance(d, ours.RelaxedDistribution) else d.logits


def _concrete(p: Any, q: Any) -> Any:
    _need_equal(p, q, "temperature")
    return _over_batch(divergences.concrete(p.logits, q.logits), p, q)


def _invertible_gaussian(p: Any, q: Any) -> Any:
    given = [(d.law.loc, d.law.scale, d.law.temperature, d.law.delta) for d in (p, q)]
    return _over_batch(divergences.invertible_gaussian(*given[0], *given[1]), p, q)


def _logistic_normal(p: Any, q: Any) -> Any:
    a, b = p.law, q.law
    if "scale" in vars(a) and "scale" in vars(b):
        kl = divergences.logistic_normal(a.loc, a.scale, b.loc, b.scale)
    else:
        kl = divergences.logistic_normal_of_covariances(
            a.loc, a.covariance_matrix, b.loc, b.covariance_matrix
        )
    return _over_batch(kl, p, q)


def _truncated(p: Any, q: Any) -> Any:
    if not (p.law.discrete and q.law.discrete):
        raise NotImplementedError(
            "KL of two soft numbers: they have no tractable density; their weights have"
        )
    _need_equal(p, q, "values")
    if not _distinct(p.values):
        raise NotImplementedError("KL of numbers whose values repeat is not that of their classes")
    kl = divergences.one_hot_categorical(p.law.log_probs, q.law.log_probs)
    return _over_batch(kl, p, q)


def _distinct(values: torch.Tensor) -> bool:
    return bool((values.sort(-1).values.diff(dim=-1) > 0).all())


def _register(
    ours_: tuple[type, ...], theirs: tuple[type, ...], rule: Callable[[Any, Any], Any]
) -> None:
    # The host has its own rule for two of its own discrete laws.
    for pair in (*product(ours_, ours_), *product(ours_, theirs), *product(theirs, ours_)):
        register_kl(*pair)(rule)


_BERNOULLI = (ours.StraightThroughBernoulli, ours.RelaxedBernoulliStraightThrough)
_ONE_HOT = (
    ours.RelaxedOneHotCategoricalStraightThrough,
    ours.DecoupledStraightThroughGumbelSoftmax,
)

_register(_BERNOULLI, (host.Bernoulli,), _bernoulli)
_register(_ONE_HOT, (host.OneHotCategorical,), _one_hot)
_register((ours.RelaxedBernoulli, ours.RebarRelaxation), (), _relaxed_bernoulli)
_register((ours.LogitRelaxedBernoulli,), (), _relaxed_bernoulli)
_register((ours.RelaxedOneHotCategorical,), (), _concrete)
_register((ours.ExpRelaxedOneHotCategorical,), (), _concrete)
_register((ours.InvertibleGaussian,), (), _invertible_gaussian)
_register((ours.LogisticNormalSoftmax,), (), _logistic_normal)
_register((ours.GeneralizedGumbelSoftmax,), (), _truncated)
# The host's relaxed classes are transformations of these, through which its registry sees.
_register((LogitRelaxedBernoulli,), (), _relaxed_bernoulli)
_register((ExpRelaxedCategorical,), (), _concrete)
