"""A model with every kind of site, its guide, and their log densities by SciPy."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
import pytest
from scipy import special, stats

both = pytest.mark.parametrize("name", ["numpyro", "pyro"])

Y = np.array([0.0, 2.0, -1.0, 3.0, 0.5])
X = np.arange(5.0)
LABELS = list("abcde")
PARAMS = {
    "loc": np.array(0.3),
    "z_logits": np.array([-1.0, 1.0, -2.0, 2.0, 0.0]),
    "k_logits": np.array([[0.5, 0.0, -1.0], [1.0, 0.2, 0.1]]),
    "rate": np.array(1.7),
}
TEMPERATURE = 0.4


class NumPyro:
    """The host's primitives, and how a fit is made without training."""

    name = "numpyro"

    def __init__(self) -> None:
        import jax
        import jax.numpy as jnp
        import numpyro

        import relaxppl.numpyro as rx

        self.rx, self.lib, self.dist = rx, numpyro, numpyro.distributions
        self.sample, self.plate, self.param = numpyro.sample, numpyro.plate, numpyro.param
        self.array, self.key = jnp.asarray, jax.random.key

    def svi(self, model: Any, guide: Any, loss: Any = None, rate: float = 0.01) -> Any:
        loss = loss or self.lib.infer.Trace_ELBO()
        return self.lib.infer.SVI(model, guide, self.lib.optim.Adam(rate), loss)

    def to_arviz(self, *program: Any, seed: int = 0, **kwargs: Any) -> Any:
        return self.rx.to_arviz(*program, rng_key=self.key(seed), **kwargs)

    def fit(self, svi: Any, steps: int, *args: Any, **kwargs: Any) -> Any:
        return self.rx.fit(svi, self.key(0), steps, *args, **kwargs)


class Pyro:
    """As :class:`NumPyro`."""

    name = "pyro"

    def __init__(self) -> None:
        import pyro
        import torch

        import relaxppl.pyro as rx

        self.rx, self.lib, self.dist = rx, pyro, pyro.distributions
        self.sample, self.plate, self.param = pyro.sample, pyro.plate, pyro.param
        self.seed = pyro.set_rng_seed
        self.torch = torch

    def array(self, value: Any) -> Any:
        return self.torch.as_tensor(np.asarray(value))

    def svi(self, model: Any, guide: Any, loss: Any = None, rate: float = 0.01) -> Any:
        loss = loss or self.lib.infer.Trace_ELBO()
        return self.lib.infer.SVI(model, guide, self.lib.optim.Adam({"lr": rate}), loss)

    def to_arviz(self, *program: Any, seed: int = 0, **kwargs: Any) -> Any:
        self.seed(seed)
        return self.rx.to_arviz(*program, **kwargs)

    def fit(self, svi: Any, steps: int, *args: Any, **kwargs: Any) -> Any:
        self.seed(0)
        return self.rx.fit(svi, steps, *args, **kwargs)


KINDS = {"numpyro": NumPyro, "pyro": Pyro}


def host_of(name: str) -> Any:
    return KINDS[name]()


def draw_once(name: str, monkeypatch: Any) -> None:
    """Has later calls of ``to_arviz`` take the first one's draws, which have the same seed."""
    convert = importlib.import_module(f"relaxppl.{name}.arviz.convert")
    draw, kept = convert.draw_all, {}

    def draw_all(*args: Any) -> Any:
        if not kept:
            kept.update(draw(*args))
        return {group: dict(variables) for group, variables in kept.items()}

    monkeypatch.setattr(convert, "draw_all", draw_all)


def params_of(host: Any) -> dict[str, Any]:
    return {name: host.array(value) for name, value in PARAMS.items()}


def programs(host: Any) -> tuple[Any, Any]:
    """A count, a number, a bit for each datum in a subsampled plate, and two one-hot vectors."""
    rx, dist = host.rx, host.dist

    def model(x, y):
        w = host.sample("w", dist.Normal(host.array(0.0), 1.0))
        c = host.sample("c", dist.Poisson(host.array(1.2)))
        k = host.sample(
            "k", rx.OneHotCategorical(probs=host.array(np.ones((2, 3)) / 3)).to_event(1)
        )
        host.lib.factor("score", 0.1 * k[..., 0, 0])
        with host.plate("data", 5, subsample_size=3) as index:
            z = host.sample("z", dist.Bernoulli(host.array(0.3)))
            mean = 2.0 * z + w + 0.1 * c
            host.lib.deterministic("mean", mean)
            host.sample("y", dist.Normal(mean, 1.0), obs=y[index])

    def guide(x, y):
        loc = host.param("loc", host.array(0.0))
        z_logits = host.param("z_logits", host.array(np.zeros(5)))
        k_logits = host.param("k_logits", host.array(np.zeros((2, 3))))
        rate = host.param("rate", host.array(1.0))
        host.sample("w", dist.Normal(loc, 0.5))
        host.sample("c", dist.Poisson(rate))
        host.sample("k", rx.OneHotCategorical(logits=k_logits).to_event(1))
        with host.plate("data", 5, subsample_size=3) as index:
            host.sample("z", dist.Bernoulli(logits=z_logits[index]))

    return model, guide


def relaxed(host: Any) -> tuple[Any, Any]:
    """The same, relaxed at one temperature, the count cut at a size."""
    config = {"c": lambda d, t: host.rx.truncate(d, t, size=25)}
    model, guide = (
        host.rx.relax(f, temperature=TEMPERATURE, config=config) for f in programs(host)
    )
    return model, guide


def log_likelihood(w: Any, c: Any, z: Any) -> np.ndarray:
    mean = 2.0 * z + w[..., None] + 0.1 * c[..., None]
    return stats.norm.logpdf(Y, mean, 1.0)


def log_p(w: Any, c: Any, z: Any, k: Any) -> np.ndarray:
    prior = stats.norm.logpdf(w) + stats.poisson.logpmf(c, 1.2) + 2 * np.log(1 / 3)
    bits = stats.bernoulli.logpmf(z, 0.3).sum(-1)
    return prior + bits + 0.1 * k[..., 0, 0] + log_likelihood(w, c, z).sum(-1)


def log_q(w: Any, c: Any, z: Any, k: Any) -> np.ndarray:
    numbers = stats.norm.logpdf(w, 0.3, 0.5) + stats.poisson.logpmf(c, 1.7)
    bits = stats.bernoulli.logpmf(z, special.expit(PARAMS["z_logits"])).sum(-1)
    return numbers + bits + (k * special.log_softmax(PARAMS["k_logits"], -1)).sum((-2, -1))
