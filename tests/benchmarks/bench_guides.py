"""How far AutoDiscrete's structures are from posteriors that can be summed, on NumPyro.

    python -m tests.benchmarks.bench_guides
    python -m tests.benchmarks.bench_guides ising regression

KL(q||p) in nats: the exact log evidence, by enumeration in NumPy, less the bound averaged over the
last 300 of 3,000 steps of RLOO with 16 draws, Adam from 0.05 down to 0 along a cosine.
"""

from __future__ import annotations

import argparse
import itertools
import os
from collections.abc import Callable
from typing import Any

os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import optax
from scipy import special, stats

import relaxppl.numpyro as rx

Program = tuple[Callable[[], None], float]
STEPS, LAST, DRAWS = 3000, 300, 16


def evidence(log_joint: Callable[..., float], *sizes: int) -> float:
    """The log of the sum over all values of variables with so many values each."""
    return float(special.logsumexp([log_joint(*v) for v in np.ndindex(*sizes)]))


def bits(name: str, size: int) -> jax.Array:
    return numpyro.sample(name, dist.Bernoulli(0.5 * jnp.ones(size)).to_event(1))


def noisy_or() -> Program:
    """Four rare causes of three effects, of which two are seen."""
    leak = np.array([[0.9, 0.8, 0.0, 0.0], [0.0, 0.7, 0.9, 0.0], [0.0, 0.0, 0.8, 0.9]])
    seen = np.array([1.0, 1.0, 0.0])

    def effects(causes: Any, lib: Any) -> Any:
        return 1 - 0.98 * lib.exp(causes @ np.log(1 - leak.T))

    def model() -> None:
        causes = [numpyro.sample(f"cause{i}", dist.Bernoulli(0.1)) for i in range(4)]
        p = effects(jnp.stack(causes) * 1.0, jnp)
        numpyro.sample("effects", dist.Bernoulli(p).to_event(1), obs=seen)

    def log_p(*v: int) -> float:
        p = effects(np.array(v, float), np)
        return float(stats.bernoulli.logpmf(v, 0.1).sum() + stats.bernoulli.logpmf(seen, p).sum())

    return model, evidence(log_p, *(2,) * 4)


def latent_class() -> Program:
    """A class of three, three attributes that it makes likely, and a reading of their sum."""
    prior = np.array([0.5, 0.3, 0.2])
    rates = np.array([[0.9, 0.8, 0.9], [0.2, 0.1, 0.2], [0.5, 0.9, 0.1]])

    def model() -> None:
        klass = numpyro.sample("class", dist.Categorical(jnp.array(prior)))
        with numpyro.plate("attributes", 3):
            has = numpyro.sample("has", dist.Bernoulli(jnp.array(rates)[klass]))
        numpyro.sample("reading", dist.Normal(has.sum() * 1.0, 0.4), obs=1.6)

    def log_p(klass: int, *has: int) -> float:
        total = np.log(prior[klass]) + stats.bernoulli.logpmf(has, rates[klass]).sum()
        return float(total + stats.norm.logpdf(1.6, sum(has), 0.4))

    return model, evidence(log_p, 3, 2, 2, 2)


def ising() -> Program:
    """A grid of three by three spins that attract each other, in a weak field."""
    grid = np.arange(9).reshape(3, 3)
    edges = [
        (a, b) for g in (grid, grid.T) for a, b in zip(g[:-1].ravel(), g[1:].ravel(), strict=True)
    ]
    left, right = np.array(edges).T
    field = 0.1 * np.random.default_rng(0).normal(size=9)

    def energy(s: Any) -> Any:
        return (0.6 * s[..., left] * s[..., right]).sum(-1) + (field * s).sum(-1)

    def model() -> None:
        numpyro.factor("energy", energy(2.0 * bits("spins", 9) - 1.0))

    def log_p(*v: int) -> float:
        return float(energy(2.0 * np.array(v) - 1.0)) - 9 * np.log(2.0)

    return model, evidence(log_p, *(2,) * 9)


def hidden_markov() -> Program:
    """Six steps of three sticky states, a site each."""
    moves = 0.85 * np.eye(3) + 0.05
    seen = np.array([0.1, 0.6, 1.4, 0.9, 1.6, 1.8])

    def model() -> None:
        p = jnp.ones(3) / 3
        for t, y in enumerate(seen):
            z = numpyro.sample(f"z{t}", dist.Categorical(p))
            numpyro.sample(f"y{t}", dist.Normal(1.0 * z, 0.8), obs=y)
            p = jnp.array(moves)[z]

    def log_p(*z: int) -> float:
        path = sum(np.log(moves[a, b]) for a, b in itertools.pairwise(z))
        return float(-np.log(3) + path + stats.norm.logpdf(seen, z, 0.8).sum())

    return model, evidence(log_p, *(3,) * 6)


def mixture() -> Program:
    """Five numbers of two components, whose means are unknown."""
    seen, centres = np.array([-2.2, -0.9, 0.1, 1.0, 2.3]), np.array([-1.5, 1.5])

    def model() -> None:
        with numpyro.plate("components", 2):
            mean = numpyro.sample("mean", dist.Normal(jnp.array(centres), 1.0))
        with numpyro.plate("rows", 5):
            z = numpyro.sample("z", dist.Bernoulli(0.5))
            numpyro.sample("y", dist.Normal(jnp.where(z == 1, mean[1], mean[0]), 1.0), obs=seen)

    def log_p(*z: int) -> float:
        flags = np.stack([1 - np.array(z), np.array(z)], -1)
        cov = np.eye(5) + flags @ flags.T
        return float(stats.multivariate_normal.logpdf(seen, flags @ centres, cov) - 5 * np.log(2.0))

    return model, evidence(log_p, *(2,) * 5)


def tree() -> Program:
    """A binary tree of seven nodes that copy their parent, its four leaves seen with noise."""
    seen = np.array([0.2, 0.9, 0.6, 0.4])

    def model() -> None:
        nodes = [numpyro.sample("n0", dist.Bernoulli(0.5))]
        for i in range(1, 7):
            p = jnp.where(nodes[(i - 1) // 2] == 1, 0.9, 0.1)
            nodes.append(numpyro.sample(f"n{i}", dist.Bernoulli(p)))
        leaves = dist.Normal(1.0 * jnp.stack(nodes[3:]), 0.6).to_event(1)
        numpyro.sample("leaves", leaves, obs=seen)

    def log_p(*n: int) -> float:
        copies = sum(np.log(0.9 if n[i] == n[(i - 1) // 2] else 0.1) for i in range(1, 7))
        return float(np.log(0.5) + copies + stats.norm.logpdf(seen, n[3:], 0.6).sum())

    return model, evidence(log_p, *(2,) * 7)


def causes() -> Program:
    """Rain, a sprinkler that rain turns off, a slippery road, and one reading of all three."""

    def model() -> None:
        b = numpyro.sample("b", dist.Bernoulli(0.3))
        a = numpyro.sample("a", dist.Bernoulli(logits=0.4 - 2.0 * b))
        c = numpyro.sample("c", dist.Bernoulli(logits=-2 + 3.0 * a + 4.0 * b - 2.5 * a * b))
        numpyro.sample("x", dist.Normal(a + b + 0.8 * c, 0.7), obs=1.4)

    def log_p(b: int, a: int, c: int) -> float:
        total = stats.bernoulli.logpmf(b, 0.3)
        total += stats.bernoulli.logpmf(a, special.expit(0.4 - 2.0 * b))
        total += stats.bernoulli.logpmf(c, special.expit(-2 + 3.0 * a + 4.0 * b - 2.5 * a * b))
        return float(total + stats.norm.logpdf(1.4, a + b + 0.8 * c, 0.7))

    return model, evidence(log_p, 2, 2, 2)


def chain() -> Program:
    """Eight spins in a row that attract their neighbours, one site."""

    def energy(s: Any) -> Any:
        return (0.8 * s[..., 1:] * s[..., :-1]).sum(-1) + 0.2 * s[..., 0]

    def model() -> None:
        numpyro.factor("energy", energy(2.0 * bits("spins", 8) - 1.0))

    def log_p(*v: int) -> float:
        return float(energy(2.0 * np.array(v) - 1.0)) - 8 * np.log(2.0)

    return model, evidence(log_p, *(2,) * 8)


def parity() -> Program:
    """Four bits of which the sum is probably odd."""

    def model() -> None:
        numpyro.factor("odd", 3.0 * (bits("bits", 4).sum(-1) % 2))

    def log_p(*v: int) -> float:
        return 3.0 * (sum(v) % 2) - 4 * np.log(2.0)

    return model, evidence(log_p, *(2,) * 4)


def regression() -> Program:
    """Three collinear features, each with an inclusion flag and a coefficient."""
    rng = np.random.default_rng(3)
    x = rng.normal(size=(30, 3)) @ np.array([[1.0, 0.9, 0.2], [0.0, 0.4, 0.3], [0.0, 0.0, 0.9]])
    y = x @ np.array([0.5, 0.0, 0.2]) + 0.7 * rng.normal(size=30)

    def model() -> None:
        with numpyro.plate("features", 3):
            flag = numpyro.sample("flag", dist.Bernoulli(0.3))
            w = numpyro.sample("w", dist.Normal(0.0, 1.0))
        numpyro.sample("y", dist.Normal(jnp.array(x) @ (flag * w), 0.7).to_event(1), obs=y)

    def log_p(*flag: int) -> float:
        cov = 0.49 * np.eye(30) + (x * flag) @ (x * flag).T
        given = stats.multivariate_normal.logpdf(y, np.zeros(30), cov)
        return float(given + stats.bernoulli.logpmf(flag, 0.3).sum())

    return model, evidence(log_p, 2, 2, 2)


PROGRAMS = (
    noisy_or, latent_class, ising, hidden_markov, mixture, tree, causes, chain, parity, regression,
)  # fmt: skip
CHAINS = {"chain"}


def distance(program: Callable[[], Program], structure: str) -> float:
    """KL(q||p) of a trained guide."""
    model, log_z = program()
    guide = rx.AutoDiscrete(model, structure=structure)
    optim = numpyro.optim.optax_to_numpyro(optax.adam(optax.cosine_decay_schedule(0.05, STEPS)))
    svi = numpyro.infer.SVI(model, guide, optim, rx.RLOO_ELBO(num_particles=DRAWS))
    losses = svi.run(jax.random.key(0), STEPS, progress_bar=False).losses
    return float(np.asarray(losses[-LAST:], np.float64).mean()) + log_z


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("programs", nargs="*", default=[p.__name__ for p in PROGRAMS])
    jax.config.update("jax_enable_x64", True)
    print("| program | mean field | dependent | ratio |\n|---|---|---|---|")
    for name in parser.parse_args().programs:
        program = next(p for p in PROGRAMS if p.__name__ == name)
        dependent = "chain" if name in CHAINS else "autoregressive"
        apart, given = (distance(program, s) for s in ("mean_field", dependent))
        print(
            f"| {name.replace('_', ' ')} | {apart:.3f} | {given:.4f} | {given / apart:.3f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
