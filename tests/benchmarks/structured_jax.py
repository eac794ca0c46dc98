"""Plain JAX for subsets, matchings, paths and the averaged straight-through gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

import relaxppl.numpyro as rx
from tests.benchmarks import distributions_jax as base

DRAWN, T, CLASSES, AVERAGED, ROUNDS = base.DRAWN, base.T, base.CLASSES, 10, 20
Array = Any
detached = jax.lax.stop_gradient


def matrices(a: Array) -> Array:
    return a.reshape(-1, CLASSES, CLASSES)


def moves(a: Array) -> Array:
    rows = matrices(a)[:, 1:]
    return rows[..., :, None] - rows[..., None, :]


def largest(z: Array) -> Array:
    return jax.nn.one_hot(z.argmax(-1), CLASSES)


def reinmax(a: Array, key: Array) -> Array:
    drawn = largest(a + jax.random.gumbel(key, a.shape))
    middle = (jax.nn.softmax(a / T) + drawn) / 2
    first = jax.nn.softmax(detached(jnp.log(middle) - a) + a)
    return base.through(drawn, 2 * first - jax.nn.softmax(a) / 2)


def reinmax_bernoulli(a: Array, key: Array) -> Array:
    p = jax.nn.sigmoid(a)
    bit = (jax.random.uniform(key, a.shape) < p).astype(p.dtype)
    q = (jax.nn.sigmoid(a / T) + bit) / 2
    return base.through(bit, detached(2 * q * (1 - q) - p * (1 - p) / 2) * a)


def gumbel_rao(a: Array, key: Array) -> Array:
    one, other = jax.random.split(key)
    log_p = jax.nn.log_softmax(a)
    drawn = largest(log_p + jax.random.gumbel(one, a.shape))
    time = jax.random.exponential(other, (AVERAGED, *a.shape))
    first = (time * drawn).sum(-1, keepdims=True)
    others = -jnp.log(time * jnp.exp(-log_p) + first)
    held = detached(jnp.where(drawn > 0.5, -jnp.log(first), others) - log_p)
    return base.through(drawn, jax.nn.softmax((log_p + held) / T).mean(0))


def gumbel_rao_bernoulli(a: Array, key: Array) -> Array:
    one, other = jax.random.split(key)
    bit = (a + base.logistic(one) > 0).astype(a.dtype)
    u = jax.random.uniform(other, (AVERAGED, *a.shape), minval=float(base.FLOAT.eps) / 4)
    sign, noise = 2 * bit - 1, jnp.log(u) - jnp.log1p(-u)
    held = detached(sign * jax.nn.softplus(noise + jax.nn.softplus(sign * a)) - a)
    return base.through(bit, jax.nn.sigmoid((a + held) / T).mean(0))


def log_sums(a: Array) -> Array:
    start = jnp.full((len(a), DRAWN + 1), -1e30).at[:, 0].set(0.0)

    def step(now: Array, logit: Array) -> tuple[Array, Array]:
        more = jnp.pad(now[:, :-1], ((0, 0), (1, 0)), constant_values=-1e30) + logit[:, None]
        after = jnp.logaddexp(now, more)
        return after, after

    others = jax.lax.scan(step, start, a.T)[1]
    return jnp.concatenate([start[None], others])


def subset(a: Array, key: Array) -> Array:
    def total(a: Array) -> tuple[Array, Array]:
        sums = log_sums(a)
        return sums[-1][:, -1].sum(), sums

    marginals, sums = jax.grad(total, has_aux=True)(a)

    def step(left: Array, given: tuple[Array, ...]) -> tuple[Array, Array]:
        logit, before, here, log_u = given
        fewer = jnp.take_along_axis(before, jnp.maximum(left - 1, 0)[:, None], -1)[:, 0]
        now = jnp.take_along_axis(here, left[:, None], -1)[:, 0]
        bit = (log_u < logit + fewer - now) & (left > 0)
        return left - bit, bit

    u = jax.random.uniform(key, a.shape, minval=float(base.FLOAT.eps) / 4)
    given = detached((a.T, sums[:-1], sums[1:], jnp.log(u).T))
    drawn = jax.lax.scan(step, jnp.full(len(a), DRAWN), given, reverse=True)[1]
    return base.through(drawn.T.astype(a.dtype), marginals)


def sinkhorn(a: Array, key: Array) -> Array:
    scores = (matrices(a) + jax.random.gumbel(key, matrices(a).shape)) / T

    def step(scores: Array, _: None) -> tuple[Array, None]:
        return jax.nn.log_softmax(jax.nn.log_softmax(scores, -2), -1), None

    return jnp.exp(jax.lax.scan(step, scores, None, ROUNDS)[0])


def relaxed_path(a: Array, key: Array) -> Array:
    ahead = jnp.moveaxis(jax.nn.log_softmax(moves(a)), 1, 0)
    noise = jnp.moveaxis(jax.random.gumbel(key, matrices(a).shape), 1, 0)

    def step(now: Array, given: tuple[Array, Array]) -> tuple[Array, Array]:
        state = jax.nn.log_softmax(now)
        after = (jax.nn.logsumexp(state[:, :, None] + given[0], -2) + given[1]) / T
        return after, after

    first = (jax.nn.log_softmax(matrices(a)[:, 0]) + noise[0]) / T
    path = jnp.concatenate([first[None], jax.lax.scan(step, first, (ahead, noise[1:]))[1]])
    return base.softmax(jnp.moveaxis(path, 0, 1))


PLAIN: dict[str, base.Program] = {
    "ReinMaxOneHotCategorical": reinmax,
    "ReinMaxBernoulli": reinmax_bernoulli,
    "GumbelRaoOneHotCategorical": gumbel_rao,
    "GumbelRaoBernoulli": gumbel_rao_bernoulli,
    "SubsetStraightThrough": subset,
    "GumbelSinkhorn": sinkhorn,
    "RelaxedMarkovChain": relaxed_path,
}

MADE: dict[str, Callable[[Array], Any]] = {
    "SubsetStraightThrough": lambda a: rx.SubsetStraightThrough(DRAWN, logits=a),
    "GumbelSinkhorn": lambda a: rx.GumbelSinkhorn(T, matrices(a), ROUNDS),
    "RelaxedMarkovChain": lambda a: rx.RelaxedMarkovChain(T, matrices(a)[:, 0], moves(a)),
}
SCALARS = ("ReinMaxBernoulli", "GumbelRaoBernoulli")
VECTORS = tuple(name for name in PLAIN if name not in SCALARS)


def constructors() -> dict[str, Callable[[Array], Any]]:
    """The classes of this library, by the names of PLAIN."""
    return {
        name: MADE.get(name) or (lambda a, name=name: getattr(rx, name)(T, logits=a))
        for name in PLAIN
    }
