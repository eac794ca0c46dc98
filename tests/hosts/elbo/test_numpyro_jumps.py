"""What a NumPyro program computes from relaxed values by jumps stays out of control variates.

A derivative does not see a comparison or a rounding, so that REBAR and RELAX would be biased by a
term that has one. Which terms have is read off the traced program.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from jax import lax
from jax.scipy import special as special_of_jax
from numpyro import handlers
from numpyro.distributions.util import log1mexp, logmatmulexp
from scipy import special, stats

import relaxppl.numpyro as rx
from relaxppl.numpyro.elbo.jumps import with_jumps
from relaxppl.numpyro.elbo.structure import analyse

WEIGHTS = np.array([[0.5, 1.0, -0.3], [0.2, -0.7, 0.4], [1.0, 0.1, 0.6]])


class Own(dist.Normal):
    """A user's law, whose density need not be continuous."""

    def log_prob(self, value: Any) -> Any:
        return jnp.where(self.loc > 0.5, 1.0, 2.0) * super().log_prob(value)


@jax.custom_jvp
def straight(x: Any) -> Any:
    return jnp.where(x > 0.5, 1.0, 0.0)


straight.defjvp(lambda at, along: (straight(*at), along[0]))

signs = jax.custom_jvp(jnp.sign)
signs.defjvps(lambda along, _, __: along)

clipped = jax.custom_vjp(lambda x: x)
clipped.defvjp(lambda x: (x, None), lambda _, along: (jnp.clip(along, -0.1, 0.1),))


@jax.custom_gradient
def halved(x: Any) -> Any:
    return x, lambda along: along / 2


@jax.jit
def relu(x: Any) -> Any:
    return jnp.where(x > 0.5, 1.0, 0.0)


def largest(x: Any) -> Any:
    return lax.stop_gradient(jnp.max(x))


def by_hand(x: Any) -> Any:
    shift = largest(x)
    return jnp.log(jnp.exp(x - shift).sum()) + shift


def root(z: Any) -> Any:
    def gap(x: Any) -> Any:
        return x - jnp.where(z[0] > 0.5, 1.0, 0.0)

    return lax.custom_root(gap, 0.0, lambda f, x: x - f(x), lambda g, y: y / g(1.0))


def reduced(z: Any, by: Callable[..., Any]) -> Any:
    return lax.reduce(z * 1.0, 0.0, by, (0,))


def mean(z: Any) -> Any:
    return (z @ WEIGHTS).sum()


def normal(value: Any) -> None:
    numpyro.sample("x", dist.Normal(value, 1.0), obs=0.3)


def observe(fn: Any, value: Any = 0.3) -> None:
    numpyro.sample("x", fn, obs=jnp.asarray(value))


SMOOTH: dict[str, Callable[[Any], None]] = {
    "normal": lambda z: normal(mean(z)),
    "bernoulli": lambda z: observe(dist.Bernoulli(logits=mean(z)), 1),
    "categorical": lambda z: observe(dist.Categorical(probs=jax.nn.softmax(z @ WEIGHTS)), 2),
    "beta": lambda z: observe(dist.Beta(jnp.exp(mean(z)), 1.0)),
    "mixture": lambda z: observe(
        dist.MixtureSameFamily(
            dist.Categorical(logits=z @ WEIGHTS), dist.Normal(mean(z) * jnp.arange(3.0), 1.0)
        )
    ),
    "truncated": lambda z: observe(dist.TruncatedNormal(mean(z), 1.0, low=0.0)),
    "logsumexp": lambda z: normal(jax.nn.logsumexp(z @ WEIGHTS)),
    "softmax": lambda z: normal(jax.nn.softmax(z @ WEIGHTS)[0]),
    "elu": lambda z: normal(jax.nn.elu(z @ WEIGHTS).sum()),
    "relu": lambda z: normal(jax.nn.relu(z @ WEIGHTS).sum()),
    "relu in a loop": lambda z: normal(lax.map(jax.vmap(jax.nn.relu), z @ WEIGHTS[:, :, None])[0]),
    "log_softmax": lambda z: normal(jax.nn.log_softmax(z @ WEIGHTS)[0]),
    "logsumexp by hand": lambda z: normal(by_hand(z @ WEIGHTS)),
    "of some": lambda z: normal(jax.nn.logsumexp(z, where=WEIGHTS[0] > 0)),
    "logmatmulexp": lambda z: normal(logmatmulexp(z * WEIGHTS, WEIGHTS).sum()),
    "softplus": lambda z: normal(jax.nn.softplus(mean(z))),
    "log1mexp": lambda z: normal(log1mexp(-1.0 - z.sum())),
    "xlogy": lambda z: normal(special_of_jax.xlogy(z, 1.0 + z).sum()),
    "solve": lambda z: normal(jnp.linalg.solve(WEIGHTS + jnp.diag(z), z).sum()),
    "determinant": lambda z: normal(jnp.linalg.slogdet(WEIGHTS + jnp.diag(z))[1]),
    "reduce": lambda z: normal(reduced(z, lambda a, b: a + b)),
    "scatter": lambda z: normal(jnp.zeros(3).at[1].add(z[0])[1]),
    "clip": lambda z: normal(jnp.clip(mean(z), 0.0, 1.0)),
    "sort": lambda z: normal(jnp.sort(z)[0]),
    "scan": lambda z: normal(lax.scan(lambda c, a: (jnp.tanh(c + a), c), 0.0, z * 1.0)[0]),
    "factor": lambda z: numpyro.factor("x", mean(z)),
    "mask of data": lambda z: normal(jnp.where(np.array([True, False, True]), z, 0.0).sum()),
}

JUMPING: dict[str, Callable[[Any], None]] = {
    "where": lambda z: normal(jnp.where(z > 0.5, 1.0, 0.0).sum()),
    "equal": lambda z: normal((z == 1).sum() * 1.0),
    "to integers": lambda z: normal(z.astype(int).sum() * 1.0),
    "cond": lambda z: normal(lax.cond(z[0] > 0.5, lambda: 1.0, lambda: 2.0)),
    "switch": lambda z: normal(lax.switch(z[0].astype(int), [lambda: 1.0, lambda: 2.0])),
    "round": lambda z: normal(jnp.round(z).sum()),
    "argmax": lambda z: normal(jnp.argmax(z) * 1.0),
    "argsort": lambda z: normal(jnp.arange(3.0)[jnp.argsort(z)][0]),
    "remainder": lambda z: normal(jnp.mod(z.sum(), 2)),
    "any": lambda z: normal(jnp.any(z) * 1.0),
    "straight-through": lambda z: normal(straight(z).sum()),
    "straight-through by JAX's function": lambda z: normal(signs(z - 0.5).sum()),
    "clipped gradient": lambda z: normal(clipped(z.sum())),
    "custom_gradient": lambda z: normal(halved(z.sum())),
    "a name of JAX": lambda z: normal(relu(z).sum()),
    "over the largest": lambda z: normal(z[0] / (0.2 + largest(z))),
    "without the largest": lambda z: normal((z - largest(z)).sum()),
    "exponentials over the largest": lambda z: normal(jnp.exp(z - largest(z)).sum() / largest(z)),
    "reduce": lambda z: normal(reduced(z, lambda a, b: jnp.where(a + b > 0.5, 1.0, 0.0))),
    "approx_max_k": lambda z: normal(lax.approx_max_k(z * 1.0, 1)[1][0] * 1.0),
    "custom_root": lambda z: normal(root(z)),
    "system": lambda z: normal(jnp.linalg.solve(WEIGHTS + jnp.round(z), WEIGHTS[0]).sum()),
    "stopped": lambda z: normal(lax.stop_gradient(z).sum()),
    "while": lambda z: normal(
        lax.while_loop(lambda c: c[0] < z.sum(), lambda c: (c[0] + 1, c[1] * 0.5), (0, 1.0))[1]
    ),
    "inside scan": lambda z: normal(
        lax.scan(lambda c, a: (jnp.where(a > 0.5, c + 1, c * 0.5), c), 0.0, z * 1.0)[0]
    ),
    "mask": lambda z: observe(dist.Normal(0.0, 1.0).mask(z[0] > 0.5)),
    "scale": lambda z: handlers.scale(normal, scale=jnp.where(z[0] > 0.5, 2.0, 1.0))(0.0),
    "end of a support": lambda z: observe(dist.Uniform(0.0, 1.0 + mean(z))),
    "delta": lambda z: observe(dist.Delta(mean(z))),
    "a density of one's own": lambda z: observe(Own(mean(z), 1.0)),
    "factor": lambda z: numpyro.factor("x", jnp.where(z[0] > 0.5, 2.0, 1.0)),
}


def guide() -> None:
    with numpyro.plate("rows", 3):
        numpyro.sample("z", dist.Bernoulli(logits=jnp.zeros(3)))


def jumps_of(body: Callable[[Any], None]) -> frozenset[str]:
    def model() -> None:
        with numpyro.plate("rows", 3):
            z = numpyro.sample("z", dist.Bernoulli(0.5 * jnp.ones(3)))
        body(z)

    program = model, guide, (), {}, {}
    found = with_jumps(analyse(*program), frozenset({"z"}), *program)
    assert found.model_terms["x"] == {"z"}
    return found.jumps["x"]


@pytest.mark.parametrize("name", SMOOTH)
def test_what_is_continuous_stays_in_the_control_variate(name: str) -> None:
    assert not jumps_of(SMOOTH[name])


@pytest.mark.parametrize("name", JUMPING)
def test_what_jumps_is_found(name: str) -> None:
    assert jumps_of(JUMPING[name]) == {"z"}


def chain_guide() -> None:
    logits = numpyro.param("logits", jnp.array([0.3, -0.4, 0.2]))
    a = numpyro.sample("a", dist.Bernoulli(logits=logits[0]))
    # The law of b jumps with a, and so does the model's term below it.
    b = numpyro.sample("b", dist.Bernoulli(logits=logits[1] + jnp.where(a > 0.5, 1.5, -1.0)))
    numpyro.sample("c", dist.Bernoulli(logits=logits[2] + b))


def chain_model() -> None:
    a = numpyro.sample("a", dist.Bernoulli(0.3))
    b = numpyro.sample("b", dist.Bernoulli(0.6))
    c = numpyro.sample("c", dist.Bernoulli(0.5))
    numpyro.sample("y", dist.Normal(a + 2.0 * b, 0.7), obs=0.4)
    numpyro.sample("w", dist.Normal(lax.cond(c == 1, lambda: 2.0, lambda: -1.0), 1.0), obs=1.2)


def exact(logits: np.ndarray) -> float:
    """Minus the bound, by a sum over the eight values."""
    total = 0.0
    for a, b, c in itertools.product([0, 1], repeat=3):
        q = special.expit([logits[0], logits[1] + (1.5 if a else -1.0), logits[2] + b])
        log_q = stats.bernoulli.logpmf([a, b, c], q).sum()
        log_p = stats.bernoulli.logpmf([a, b, c], [0.3, 0.6, 0.5]).sum()
        log_p += stats.norm.logpdf(0.4, a + 2.0 * b, 0.7)
        log_p += stats.norm.logpdf(1.2, 2.0 if c else -1.0, 1.0)
        total -= np.exp(log_q) * (log_p - log_q)
    return total


@pytest.mark.parametrize(
    "elbo",
    [rx.REBAR_ELBO(learn=False), rx.RELAX_ELBO()],
    ids=["rebar", "relax"],
)
@pytest.mark.filterwarnings("ignore:RELAX_ELBO")
def test_the_mean_gradient_is_exact(elbo: Any) -> None:
    at = np.array([0.3, -0.4, 0.2])
    step = 1e-6 * np.eye(3)
    truth = [(exact(at + h) - exact(at - h)) / 2e-6 for h in step]
    prepared = elbo.prepare(chain_guide)
    svi = numpyro.infer.SVI(chain_model, prepared, numpyro.optim.Adam(0.1), elbo)
    params = svi.get_params(svi.init(jax.random.key(0)))

    def loss(logits: Any, key: Any) -> Any:
        return elbo.loss(key, {**params, "logits": logits}, chain_model, prepared)

    keys = jax.random.split(jax.random.key(1), 20_000)
    drawn = jax.jit(lambda k: lax.map(lambda one: jax.grad(loss)(at, one), k, batch_size=1000))
    found = np.asarray(drawn(keys))
    error = found.std(0) / np.sqrt(len(found))
    assert np.all(np.abs(found.mean(0) - truth) < 4.5 * error)
