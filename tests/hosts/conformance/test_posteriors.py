"""A site of every class without atoms, sampled by the hosts' NUTS, against its exact posterior.

The sites are independent and of one model: NUTS is compiled once, and runs once, for all classes.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import numpyro
import numpyro.distributions as ndist
import pyro
import pyro.distributions as pdist
import pytest
import torch

from tests.adapter import Host
from tests.hosts.conformance.rows import SMOOTH, first_element, over
from tests.relaxations.case import Case

COPIES, NOISE, OBSERVED = 100, 0.4, 0.3
"""Independent copies of the model in one chain: they say how far the mean of all may be off."""
WARMUP, DRAWS, DEPTH = 25, 30, 3


def weights(case: Case) -> np.ndarray:
    """Of the coordinates: the sum is observed, with noise."""
    width = case.event_shape[0] if case.event_shape else 1
    return np.arange(1.0, 1 + width) / width


def program(host: Host) -> Callable[[], None]:
    """The model: an independent site of every class, each with an observation of its own."""
    sites = [
        (case, host.build(case.name, host.arrays(first_element(case))), host.array(weights(case)))
        for case in SMOOTH
    ]
    lib = numpyro if host.name == "numpyro" else pyro
    normal = ndist.Normal if host.name == "numpyro" else pdist.Normal
    observed = host.array(np.full(COPIES, OBSERVED))

    def model():
        with lib.plate("copies", COPIES):
            for case, dist, weight in sites:
                z = lib.sample(case.name, dist)
                total = z @ weight if case.event_shape else z
                lib.sample(f"sum of {case.name}", normal(total, NOISE), obs=observed)

    return model


def numpyro_chain(model: Callable[[], None]) -> dict[str, Any]:
    # What MCMC does, as one program: alone, every operation of the model would be compiled first.
    energy = functools.partial(numpyro.infer.util.potential_energy, model, (), {})
    kernel = numpyro.infer.NUTS(potential_fn=energy, max_tree_depth=DEPTH)
    start = {
        case.name: np.zeros((COPIES, case.first_law.dim) if case.event_shape else COPIES)
        for case in SMOOTH
    }

    def step(state, _):
        state = kernel.sample(state, (), {})
        return state, state.z

    @jax.jit
    def run(key):
        state = kernel.init(key, WARMUP, start, (), {})
        draws = jax.lax.scan(step, state, None, length=WARMUP + DRAWS)[1]
        kept = jax.tree.map(lambda z: z[WARMUP:], draws)
        return jax.vmap(functools.partial(numpyro.infer.util.constrain_fn, model, (), {}))(kept)

    with numpyro.handlers.seed(rng_seed=0):
        return run(jax.random.key(0))


def pyro_chain(model: Callable[[], None]) -> dict[str, Any]:
    torch.manual_seed(0)
    kernel = pyro.infer.NUTS(model, max_tree_depth=DEPTH)
    mcmc = pyro.infer.MCMC(kernel, DRAWS, WARMUP, disable_progbar=True)
    mcmc.run()
    return mcmc.get_samples()


@functools.cache
def chain(host: Host) -> dict[str, np.ndarray]:
    """Draws (DRAWS, COPIES, *event) of the site of every class."""
    run = numpyro_chain if host.name == "numpyro" else pyro_chain
    return {name: host.numpy(draws) for name, draws in run(program(host)).items()}


def exact(case: Case) -> np.ndarray:
    """The posterior mean of every coordinate, by quadrature."""
    points, w = case.first_law.nodes()
    rows = points.reshape(len(points), -1)
    likelihood = -0.5 * ((OBSERVED - rows @ weights(case)) / NOISE) ** 2
    p = w * np.exp(case.first_law.log_prob(points) + likelihood)
    return (p @ rows) / p.sum()


@pytest.mark.long
@over(SMOOTH)
def test_nuts_finds_the_posterior(host: Host, case: Case):
    draws = chain(host)[case.name]
    rows = draws.reshape(*draws.shape[:2], -1)
    means = rows.mean(0)
    error = means.std(0, ddof=1) / np.sqrt(COPIES)
    assert (error < 0.1 * np.sqrt(rows.var((0, 1)))).all(), "too few draws to mean anything"
    assert (np.abs(means.mean(0) - exact(case)) < 4.5 * error).all()
