"""The sleep phase of reweighted wake-sleep, against enumeration of draws and of data."""

from __future__ import annotations

import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pyro
import pytest

from tests.adapter import HOSTS, both
from tests.estimators.multi_sample_case import mass

NUMPYRO = HOSTS["numpyro"]
X = np.array([1.0, 0.0])
PRIOR, LIKELY = np.array([0.3, 0.8]), np.array([-0.7, 1.1])
START = np.array([0.2, -0.4, 0.6])


def programs(host: Any, repetitions: int) -> tuple[Any, Any, Any]:
    """A mini-batch of two out of five: the data come as an argument, in a dict and unnamed.

    It runs in an outer plate of repetitions, which has a copy of the guide's parameters each.
    """
    dist, array = host.dist, host.array

    def model(data: Any) -> None:
        x = data["x"]
        rows = host.plate("rows", 5, subsample_size=2, dim=-1)
        with host.plate("repetitions", repetitions, dim=-2), rows:
            z = host.sample("z", dist.Bernoulli(logits=array(PRIOR)[0]))
            y = host.sample("y", dist.Bernoulli(logits=PRIOR[1] - z))
            logits = LIKELY[0] + LIKELY[1] * z * (1.0 + y)
            host.sample("x", dist.Bernoulli(logits=logits), obs=x)

    def guide(data: Any) -> None:
        start = array(np.broadcast_to(START, (repetitions, 1, 3)))
        q = host.lib.param("q", start)
        rows = host.plate("rows", 5, subsample_size=2, dim=-1)
        with host.plate("repetitions", repetitions, dim=-2), rows:
            z = host.sample("z", dist.Bernoulli(logits=q[..., 0] + data["x"]))
            host.sample("y", dist.Bernoulli(logits=q[..., 1] * z + q[..., 2] * data["x"]))

    return model, guide, {"x": array(np.broadcast_to(X, (repetitions, 2)))}


VALUES = np.array(list(itertools.product((0.0, 1.0), repeat=2))).T


def log_q(q: Any, x: Any) -> Any:
    z, y = VALUES
    return mass(q[0] + x, z) + mass(q[1] * z + q[2] * x, y)


def log_p(x: Any) -> Any:
    z, y = VALUES
    prior = mass(PRIOR[0], z) + mass(PRIOR[1] - z, y)
    return prior + mass(LIKELY[0] + LIKELY[1] * z * (1.0 + y), x)


def exact(insomnia: float) -> np.ndarray:
    """The gradient of the loss in the guide's parameters, two draws of the guide enumerated."""

    def aim(q: Any) -> Any:
        held, total = jax.lax.stop_gradient, 0.0
        for x in X:
            mine, theirs = log_q(q, x), log_p(x)
            for i, j in itertools.product(range(4), repeat=2):
                pair = jnp.array([i, j])
                weight = jax.nn.softmax(held(theirs - mine)[pair])
                wake = jnp.sum(weight * mine[pair])
                total += insomnia * jnp.exp(held(mine[i] + mine[j])) * wake
            for made in (0.0, 1.0):
                total += (1 - insomnia) * jnp.sum(jnp.exp(log_p(made)) * log_q(q, made))
        return -2.5 * total

    return np.asarray(jax.grad(aim)(jnp.asarray(START)))


@both
def test_mean_gradient_of_wake_and_sleep(host):
    """Of a program without a parameter in the model; at 2.5 rows for each of the batch."""
    count = 8_000
    model, guide, data = programs(host, count)
    elbo = host.rx.ReweightedWakeSleep_ELBO(2, insomnia=0.4)
    if host is NUMPYRO:
        params = {"q": jnp.broadcast_to(START, (count, 1, 3))}
        loss = jax.jit(jax.grad(lambda p, x: elbo.loss(jax.random.key(0), p, model, guide, x)))
        found = np.asarray(loss(params, data)["q"])
    else:
        pyro.clear_param_store()
        pyro.set_rng_seed(0)
        elbo.loss_and_grads(model, guide, data)
        found = pyro.param("q").grad.numpy()
    found = found.reshape(count, 3)
    error = found.std(0) / count**0.5
    assert np.all(error < 0.05)
    assert np.all(np.abs(found.mean(0) - exact(0.4)) < 4 * error)
    assert np.all(np.abs(exact(1.0) - exact(0.4)).max() > 10 * error)


@both
def test_what_cannot_sleep_is_refused_with_the_way_out(host):
    dist, array = host.dist, host.array

    def refused(kind: type[Exception], message: str, see: Any = None, factor: bool = False) -> None:
        def model(x: Any) -> None:
            z = host.sample("z", dist.Normal(array(0.0), 1.0))
            host.sample("x", dist.Normal(z, 1.0), obs=x if see is None else see(x))
            if factor:
                host.lib.factor("f", z)

        def guide(x: Any) -> None:
            host.sample("z", dist.Normal(0.0 * x, 1.0))

        key = (jax.random.key(0), {}) if host is NUMPYRO else ()
        elbo = host.rx.ReweightedWakeSleep_ELBO(2, insomnia=0.0)
        run = elbo.loss if host is NUMPYRO else elbo.loss_and_grads
        with pytest.raises(kind, match=message):
            run(*key, model, guide, array(0.3))

    refused(ValueError, r"'x': .*no argument.*obs=x. Or keep insomnia=1.0", see=lambda x: 1.0 * x)
    refused(NotImplementedError, "'f' is a factor", factor=True)
    with pytest.raises(ValueError, match=r"insomnia must be between 0 and 1, got 1\.5"):
        host.rx.ReweightedWakeSleep_ELBO(insomnia=1.5)
