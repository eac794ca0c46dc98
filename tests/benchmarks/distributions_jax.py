"""What bench_distributions times on JAX: a sample of each class, and plain code for its law.

Every program maps a parameter and a key to a sample; both are compiled with their gradient.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpyro.distributions as dist
from jax.scipy.special import log_ndtr

import relaxppl.numpyro as rx

ELEMENTS, CLASSES, DRAWN = 100_000, 10, 3
Array = Any
Program = Callable[[Array, Array], Array]

FLOAT = jnp.finfo(jnp.float32)
LEAST = float(FLOAT.tiny) / float(FLOAT.eps)
T = 0.6
VALUES = jnp.arange(CLASSES, dtype=jnp.float32)
CORRELATION = jnp.full((CLASSES, CLASSES), 0.3) + 0.7 * jnp.eye(CLASSES)
SCALAR = jax.random.normal(jax.random.key(0), (ELEMENTS,))
VECTOR = SCALAR.reshape(-1, CLASSES)
SCALE = jax.random.uniform(jax.random.key(1), VECTOR.shape) + 0.5
detached = jax.lax.stop_gradient


def logistic(key: Array) -> Array:
    u = jax.random.uniform(key, SCALAR.shape, minval=float(FLOAT.eps) / 4)
    return jnp.log(u) - jnp.log1p(-u)


def through(hard: Array, soft: Array) -> Array:
    return detached(hard) + (soft - detached(soft))


def inside(x: Array) -> Array:
    return jnp.clip(x, LEAST, 1 - float(FLOAT.eps))


def softmax(x: Array) -> Array:
    return jnp.clip(jax.nn.softmax(x), LEAST, 1.0)


def perturbed(a: Array, key: Array) -> Array:
    return jax.nn.log_softmax(a) + jax.random.gumbel(key, VECTOR.shape)


def gaussian(a: Array, key: Array) -> Array:
    return a + SCALE * jax.random.normal(key, VECTOR.shape)


def relaxed_bernoulli_through(a: Array, key: Array) -> Array:
    z = a + logistic(key)
    return through((z > 0).astype(z.dtype), jax.nn.sigmoid(z / T))


def straight_through_bernoulli(a: Array, key: Array) -> Array:
    p = jax.nn.sigmoid(a)
    return through((jax.random.uniform(key, a.shape) < p).astype(p.dtype), p)


def stochastic_times_smooth(a: Array, key: Array) -> Array:
    root = jnp.sqrt(jax.nn.sigmoid(a))
    return (jax.random.uniform(key, a.shape) < root) * root


def correlated(a: Array, key: Array) -> Array:
    w = jax.random.normal(key, VECTOR.shape) @ jnp.linalg.cholesky(CORRELATION).T
    return inside(jax.nn.sigmoid((a + log_ndtr(w) - log_ndtr(-w)) / T))


def one_hot_through(a: Array, key: Array) -> Array:
    z = perturbed(a, key)
    return through(jax.nn.one_hot(z.argmax(-1), CLASSES), jax.nn.softmax(z / T))


def top_k(hard: bool, a: Array, key: Array) -> Array:
    z = w = perturbed(a, key)
    total = jnp.zeros_like(z)
    for _ in range(DRAWN):
        x = jax.nn.softmax(w / T)
        total = total + x
        w = w + jnp.log1p(-jnp.minimum(x, 1 - FLOAT.eps))
    if not hard:
        return total
    drawn = jax.nn.one_hot(jax.lax.top_k(z, DRAWN)[1], CLASSES).sum(-2)
    return through(drawn, total)


def invertible_gaussian(a: Array, key: Array) -> Array:
    y = gaussian(a, key)
    return softmax(jnp.concatenate([y / T, jnp.zeros((len(y), 1))], -1))


PLAIN: dict[str, Program] = {
    "RelaxedBernoulli": lambda a, k: inside(jax.nn.sigmoid((a + logistic(k)) / T)),
    "LogitRelaxedBernoulli": lambda a, k: (a + logistic(k)) / T,
    "RelaxedBernoulliStraightThrough": relaxed_bernoulli_through,
    "StraightThroughBernoulli": straight_through_bernoulli,
    "RebarRelaxation": lambda a, k: inside(
        jax.nn.sigmoid(((T * T + T + 1) / (T + 1) * a + logistic(k)) / T)
    ),
    "RelaxedOneHotCategorical": lambda a, k: softmax(perturbed(a, k) / T),
    "ExpRelaxedOneHotCategorical": lambda a, k: jax.nn.log_softmax(perturbed(a, k) / T),
    "RelaxedOneHotCategoricalStraightThrough": one_hot_through,
    "DecoupledStraightThroughGumbelSoftmax": one_hot_through,
    "GaussianRelaxedBernoulli": lambda a, k: jnp.clip(a + T * jax.random.normal(k, a.shape), 0, 1),
    "HardConcrete": lambda a, k: jnp.clip(1.2 * jax.nn.sigmoid((a + logistic(k)) / T) - 0.1, 0, 1),
    "CorrelatedRelaxedBernoulli": correlated,
    "StochasticTimesSmooth": stochastic_times_smooth,
    "InvertibleGaussian": invertible_gaussian,
    "LogisticNormalSoftmax": lambda a, k: softmax(gaussian(a, k)),
    "GumbelSoftmaxTopK": lambda a, k: top_k(False, a, k),
    "GumbelSoftmaxTopK hard": lambda a, k: top_k(True, a, k),
    "GeneralizedGumbelSoftmax": lambda a, k: jax.nn.softmax(perturbed(a, k) / T) @ VALUES,
    "GeneralizedGumbelSoftmax hard": lambda a, k: one_hot_through(a, k) @ VALUES,
}

MADE: dict[str, Callable[[Array], Any]] = {
    "StraightThroughBernoulli": lambda a: rx.StraightThroughBernoulli(logits=a),
    "StochasticTimesSmooth": lambda a: rx.StochasticTimesSmooth(logits=a),
    "DecoupledStraightThroughGumbelSoftmax": lambda a: rx.DecoupledStraightThroughGumbelSoftmax(
        0.3, T, logits=a
    ),
    "GaussianRelaxedBernoulli": lambda a: rx.GaussianRelaxedBernoulli(a, T),
    "CorrelatedRelaxedBernoulli": lambda a: rx.CorrelatedRelaxedBernoulli(
        T, logits=a, correlation_matrix=CORRELATION
    ),
    "InvertibleGaussian": lambda a: rx.InvertibleGaussian(T, a, SCALE),
    "LogisticNormalSoftmax": lambda a: rx.LogisticNormalSoftmax(a, SCALE),
    "GumbelSoftmaxTopK": lambda a: rx.GumbelSoftmaxTopK(DRAWN, T, logits=a),
    "GumbelSoftmaxTopK hard": lambda a: rx.GumbelSoftmaxTopK(DRAWN, T, logits=a, hard=True),
    "GeneralizedGumbelSoftmax": lambda a: rx.GeneralizedGumbelSoftmax(VALUES, T, logits=a),
    "GeneralizedGumbelSoftmax hard": lambda a: rx.GeneralizedGumbelSoftmax(
        VALUES, T, logits=a, hard=True
    ),
}


HOSTS: dict[str, Callable[[Array], Any]] = {
    "RelaxedBernoulli": lambda a: dist.RelaxedBernoulli(T, logits=a),
}
"""The one class that NumPyro has, by our name."""


def constructors() -> dict[str, Callable[[Array], Any]]:
    """The classes of this library, by the names of PLAIN."""
    return {
        name: MADE.get(name) or (lambda a, name=name: getattr(rx, name)(T, logits=a))
        for name in PLAIN
    }


def drawn(make: Callable[[Array], Any]) -> Program:
    """A sample of a class of this library."""
    return lambda a, key: make(a).rsample(key)


VECTORS = (
    "RelaxedOneHotCategorical",
    "ExpRelaxedOneHotCategorical",
    "RelaxedOneHotCategoricalStraightThrough",
    "DecoupledStraightThroughGumbelSoftmax",
    "CorrelatedRelaxedBernoulli",
    "InvertibleGaussian",
    "LogisticNormalSoftmax",
    "GumbelSoftmaxTopK",
    "GeneralizedGumbelSoftmax",
)


def compiled(
    name: str, loss: Callable[[Array, Array], Array], of_vector: bool = False
) -> Callable[[], None]:
    """The compiled gradient of a number in the parameter of a class."""
    parameter = VECTOR if of_vector or name.removesuffix(" hard") in VECTORS else SCALAR
    grad, key = jax.jit(jax.grad(loss)), jax.random.key(2)
    return lambda: jax.block_until_ready(grad(parameter, key))


def timed(name: str, program: Program, of_vector: bool = False) -> Callable[[], None]:
    """A compiled function that draws, squares, sums and differentiates."""
    return compiled(name, lambda a, key: (program(a, key) ** 2).sum(), of_vector)


def scored(name: str, make: Callable[[Array], Any]) -> Callable[[], None]:
    """A compiled function that draws, scores the draw and differentiates both."""

    def loss(a: Array, key: Array) -> Array:
        law = make(a)
        sample = law.rsample(key)
        return (sample**2).sum() + law.log_prob(sample).sum()

    return compiled(name, loss)
