"""Estimators for integer categories that index a table, and for counts, on NumPyro, over seeds.

    python -m tests.benchmarks.bench_integers_counts --write

Twenty rows, each with eight latents that act on its data together, so that no site can be summed
out of the model row by row. *Integers*: six categories each, which pick the rows of a table of
embeddings. *Counts*: Poisson, whose logarithms a matrix mixes into the rates of the data. The
guides are mean fields. What is measured is the variance of a gradient, summed over parameters, at
the first parameters and after 300 steps of Adam with ``RLOO_ELBO``, where the guide is neither flat
nor certain.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from numpyro.infer import SVI

import relaxppl.numpyro as rx
from tests.benchmarks import table
from tests.benchmarks.bench_debias import T95

ROWS, LATENTS, VALUES, WIDTH = 20, 8, 6, 30
STEPS = 300
BASE = "RLOO, 4 draws"
COMMON: dict[str, Callable[[], Any]] = {
    "score function": rx.ScoreFunction_ELBO,
    "score function, average": lambda: rx.ScoreFunction_ELBO(baseline="average"),
    BASE: lambda: rx.RLOO_ELBO(num_particles=4),
}


def integers(weights: Any, x: Any) -> None:
    """Categories that index a table."""
    with numpyro.plate("rows", ROWS):
        prior = dist.Categorical(logits=jnp.zeros((LATENTS, VALUES))).to_event(1)
        k = numpyro.sample("k", prior)
        logits = weights[jnp.arange(LATENTS), k].sum(-2)
        numpyro.sample("x", dist.Bernoulli(logits=logits).to_event(1), obs=x)


def of_integers(weights: Any, x: Any) -> None:
    """Their mean field."""
    logits = numpyro.param("logits", jnp.zeros((ROWS, LATENTS, VALUES)))
    with numpyro.plate("rows", ROWS):
        numpyro.sample("k", dist.Categorical(logits=logits).to_event(1))


def counts(weights: Any, x: Any) -> None:
    """Counts whose logarithms are mixed."""
    with numpyro.plate("rows", ROWS):
        k = numpyro.sample("k", dist.Poisson(jnp.full(LATENTS, 2.0)).to_event(1))
        rate = jnp.exp(jnp.log1p(k) @ weights)
        numpyro.sample("x", dist.Poisson(rate).to_event(1), obs=x)


def of_counts(weights: Any, x: Any) -> None:
    """Their mean field."""
    log_rate = numpyro.param("log_rate", jnp.full((ROWS, LATENTS), 0.5))
    with numpyro.plate("rows", ROWS):
        numpyro.sample("k", dist.Poisson(jnp.exp(log_rate)).to_event(1))


class Program(NamedTuple):
    """A model and a guide, the shape and size of the weights, and what is tried on them."""

    model: Callable[..., None]
    guide: Callable[..., None]
    shape: tuple[int, ...]
    size: float
    elbos: dict[str, Callable[[], Any]]


PROGRAMS = {
    "integers": Program(
        integers,
        of_integers,
        (LATENTS, VALUES, WIDTH),
        0.7,
        {
            **COMMON,
            "RELAX, a network alone": lambda: rx.RELAX_ELBO(control_variate="network"),
            "DisARM": rx.DisARM_ELBO,
            "ARMS, 4 draws": partial(rx.ARMS_ELBO, num_particles=4),
            "local expectation": rx.LocalExpectation_ELBO,
        },
    ),
    "counts": Program(
        counts, of_counts, (LATENTS, WIDTH), 0.2, {**COMMON, "coupled difference": rx.Coupled_ELBO}
    ),
}


def measure(program: Program, seed: int, num_draws: int) -> list[Any]:
    """The comparisons at the first parameters and at those in the middle of training."""
    weights = program.size * jax.random.normal(jax.random.key(seed), program.shape)
    drawn = numpyro.infer.Predictive(program.model, num_samples=1)
    x = drawn(jax.random.key(100 + seed), weights, None)["x"][0]
    svi = SVI(program.model, program.guide, numpyro.optim.Adam(0.03), COMMON[BASE]())
    trained = svi.run(jax.random.key(seed), STEPS, weights, x, progress_bar=False).params
    elbos = {name: make() for name, make in program.elbos.items()}
    found = []
    for params in (None, trained):
        given = (elbos, program.model, program.guide, params, weights, x)
        key = jax.random.key(200 + seed)
        compared = rx.compare_estimators(*given, num_draws=num_draws, rng_key=key, exact=False)
        assert not compared.failures, compared.failures
        found.append(compared.stats)
    return found


def spread(ratios: list[float]) -> str:
    """The geometric mean over seeds, with its 95 % interval."""
    logs = np.log(ratios)
    if len(logs) < 2:
        return f"{ratios[0]:.3g}"
    half = T95[len(logs)] * logs.std(ddof=1) / np.sqrt(len(logs))
    low, mean, high = np.exp([logs.mean() - half, logs.mean(), logs.mean() + half])
    return f"{mean:.3g} ({low:.3g}-{high:.3g})"


def main() -> None:
    """Measure and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=PROGRAMS, default=list(PROGRAMS))
    parser.add_argument("--seeds", type=int, choices=range(1, 6), default=3)
    parser.add_argument("--num-draws", type=int, default=500)
    parser.add_argument("--write", action="store_true", help="keep the tables")
    options = parser.parse_args()
    for name in options.only:
        program = PROGRAMS[name]
        runs = [measure(program, seed, options.num_draws) for seed in range(options.seeds)]
        rows = []
        for elbo in program.elbos:
            row = [elbo]
            for when in (0, 1):
                pairs = [(run[when][elbo], run[when][BASE]) for run in runs]
                row.append(spread([a.total_variance / b.total_variance for a, b in pairs]))
                row.append(spread([a.cost / b.cost for a, b in pairs]))
            rows.append(row)
        header = ["gradient", "variance at the start", "times its seconds"]
        header += [f"variance after {STEPS} steps", "times its seconds"]
        text = table.markdown(header, rows)
        print(text)
        if options.write:
            table.write(name, text)


if __name__ == "__main__":
    main()
