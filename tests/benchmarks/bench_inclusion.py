"""Inclusion probabilities of the ten features of scikit-learn's diabetes data, on NumPyro.

    python -m tests.benchmarks.bench_inclusion

Each feature has a flag and a coefficient, and the noise is unknown. The exact probabilities sum
over all 1,024 sets of features, the coefficients in closed form and the noise by the trapezoid
rule, in NumPy. The guide's are those of AutoDiscrete(structure="autoregressive"), trained by RLOO
with 64 draws for 3,000 steps, during the first 1,200 of which the flags' parameters stand still.
"""

from __future__ import annotations

import argparse
import itertools
import os

os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import optax
from scipy import special, stats
from sklearn.datasets import load_diabetes

import relaxppl.numpyro as rx

STEPS, HELD, DRAWS, RATE = 3_000, 1_200, 64, 0.05


def data() -> tuple[np.ndarray, np.ndarray]:
    """The features and the response, standardised."""
    x, y = load_diabetes(return_X_y=True)
    return (x - x.mean(0)) / x.std(0), (y - y.mean()) / y.std()


def exact() -> np.ndarray:
    """The posterior probability of each feature, (10,)."""
    x, y = data()
    sets = np.array(list(itertools.product((0, 1), repeat=x.shape[1])))
    noises = np.linspace(0.6, 0.85, 26)
    log_p = np.empty((len(noises), len(sets)))
    for i, noise in enumerate(noises):
        gram, to_y = x.T @ x / noise**2, x.T @ y / noise**2
        for j, flags in enumerate(sets):
            on = np.flatnonzero(flags)
            precision = np.eye(len(on)) + gram[np.ix_(on, on)]
            fitted = to_y[on] @ np.linalg.solve(precision, to_y[on])
            log_p[i, j] = 0.5 * (fitted - np.linalg.slogdet(precision)[1])
        log_p[i] -= len(y) * np.log(noise) + 0.5 * y @ y / noise**2
        log_p[i] += stats.halfnorm.logpdf(noise)
    log_p += stats.bernoulli.logpmf(sets, 0.3).sum(axis=1)
    return special.softmax(log_p).sum(axis=0) @ sets


def fitted(seed: int = 0) -> np.ndarray:
    """The guide's probability of each feature, (10,)."""
    x, y = (jnp.asarray(a) for a in data())

    def model() -> None:
        noise = numpyro.sample("noise", dist.HalfNormal(1.0))
        with numpyro.plate("features", x.shape[1]):
            flag = numpyro.sample("flag", dist.Bernoulli(0.3))
            w = numpyro.sample("w", dist.Normal(0.0, 1.0))
        numpyro.sample("y", dist.Normal(x @ (flag * w), noise).to_event(1), obs=y)

    late = optax.join_schedules(
        [optax.constant_schedule(0.0), optax.cosine_decay_schedule(RATE, STEPS - HELD)], [HELD]
    )
    optim = optax.multi_transform(
        {
            "flags": optax.adam(late),
            "rest": optax.adam(optax.cosine_decay_schedule(RATE, STEPS)),
        },
        lambda params: {n: "flags" if n.startswith("flag_") else "rest" for n in params},
    )
    guide = rx.AutoDiscrete(model, structure="autoregressive")
    elbo = rx.RLOO_ELBO(num_particles=DRAWS)
    svi = numpyro.infer.SVI(model, guide, numpyro.optim.optax_to_numpyro(optim), elbo)
    params = svi.run(jax.random.key(seed), STEPS, progress_bar=False).params
    return np.asarray(guide.probs(params)["flag"])


def main() -> None:
    """Print both, and how far they are apart."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    truth, found = exact(), fitted(seed)
    print("exact  ", truth.round(3))
    print("guide  ", found.round(3))
    print("largest difference", np.abs(found - truth).max().round(3))


if __name__ == "__main__":
    main()
