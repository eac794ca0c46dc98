"""The exact KL rules, in NumPyro's own registry: TraceMeanField_ELBO finds them there."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpyro import distributions as host
from numpyro.distributions.kl import kl_divergence

from relaxppl.numpyro import distributions as ours
from relaxppl.relaxations import divergences


def same(a: Any, b: Any) -> bool:
    """Returns whether two parameters are known to be equal.

    Under jit values are not known: there only one and the same traced array counts as equal to
    itself. Under grad likewise, so that a temperature that is learned on one side alone is never
    taken for equal, which would lose its gradient.

    :param a: an array, traced or not.
    :param b: an array, traced or not, of a shape that broadcasts with the first.
    """
    if a is b:
        return True
    if isinstance(a, jax.core.Tracer) or isinstance(b, jax.core.Tracer):
        return False
    return bool(np.all(np.asarray(a) == np.asarray(b)))


def _need_equal(p: Any, q: Any, name: str) -> None:
    if not same(getattr(p, name), getattr(q, name)):
        raise NotImplementedError(
            f"KL({type(p).__name__} | {type(q).__name__}) is exact at equal {name}s only: build "
            f"both from one {name}, or let the ELBO sample"
        )


def _over_batch(kl: Any, p: Any, q: Any) -> Any:
    return jnp.broadcast_to(kl, jnp.broadcast_shapes(p.batch_shape, q.batch_shape))


def _bernoulli(p: Any, q: Any) -> Any:
    return _over_batch(divergences.bernoulli(_logits(p), _logits(q)), p, q)


def _one_hot(p: Any, q: Any) -> Any:
    kl = divergences.one_hot_categorical(_class_logits(p), _class_logits(q))
    return _over_batch(kl, p, q)


def _logits(d: Any) -> Any:
    # The host's classes keep what they were given, which may be a number or NumPy's.
    return jnp.asarray(d.logits)


def _class_logits(d: Any) -> Any:
    return d.law.log_probs if isinstance(d, ours.RelaxedDistribution) else _logits(d)


def _relaxed_bernoulli(p: Any, q: Any) -> Any:
    _need_equal(p, q, "temperature")
    return _over_batch(divergences.relaxed_bernoulli(_location(p), _location(q)), p, q)


def _location(d: Any) -> Any:
    return d.law.location if isinstance(d, ours.RelaxedDistribution) else _logits(d)


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


def _distinct(values: Any) -> bool:
    if isinstance(values, jax.core.Tracer):
        return False
    return bool(np.all(np.diff(np.sort(np.asarray(values), axis=-1), axis=-1) > 0))


def _register(classes_p: tuple[type, ...], classes_q: tuple[type, ...], rule: Callable) -> None:
    for pair in product(classes_p, classes_q):
        # What the host has, or has got since, is the host's.
        if kl_divergence.dispatch(*pair) is None:
            kl_divergence.register(*pair)(rule)


_BERNOULLI = (
    ours.StraightThroughBernoulli,
    ours.RelaxedBernoulliStraightThrough,
    host.BernoulliProbs,
    host.BernoulliLogits,
)
_ONE_HOT = (
    ours.OneHotCategorical,
    ours.RelaxedOneHotCategoricalStraightThrough,
    ours.DecoupledStraightThroughGumbelSoftmax,
)
_CATEGORICAL = (host.CategoricalProbs, host.CategoricalLogits)
_RELAXED_BERNOULLI = (ours.RelaxedBernoulli, ours.RebarRelaxation, host.RelaxedBernoulliLogits)

_register(_BERNOULLI, _BERNOULLI, _bernoulli)
_register(_ONE_HOT, _ONE_HOT, _one_hot)
_register(_CATEGORICAL, _CATEGORICAL, _one_hot)
_register(_RELAXED_BERNOULLI, _RELAXED_BERNOULLI, _relaxed_bernoulli)
_register((ours.LogitRelaxedBernoulli,), (ours.LogitRelaxedBernoulli,), _relaxed_bernoulli)
_register((ours.RelaxedOneHotCategorical,), (ours.RelaxedOneHotCategorical,), _concrete)
_register((ours.ExpRelaxedOneHotCategorical,), (ours.ExpRelaxedOneHotCategorical,), _concrete)
_register((ours.InvertibleGaussian,), (ours.InvertibleGaussian,), _invertible_gaussian)
_register((ours.LogisticNormalSoftmax,), (ours.LogisticNormalSoftmax,), _logistic_normal)
_register((ours.GeneralizedGumbelSoftmax,), (ours.GeneralizedGumbelSoftmax,), _truncated)
