"""A control variate that reaches some levels down: unbiased, and linear in the length of a chain.

The program is a chain of four levels whose last depends on the first, too. At ``depth=1`` the first
and the last share a relaxed evaluation, so that what one owes to the other must be kept apart.
"""

from __future__ import annotations

import itertools

import jax
import jax.numpy as jnp
import numpyro
import numpyro.distributions as jax_dist
import pyro
import pyro.distributions as torch_dist
import pytest
import torch

import relaxppl.numpyro as rx_numpyro
import relaxppl.pyro as rx_pyro
from tests.hosts.elbo import numpyro_case, pyro_case
from tests.hosts.elbo.pyro_unbiased import measure as measure_pyro
from tests.hosts.elbo.unbiased import measure as measure_numpyro

LEVELS = 4
START, STEPS = [0.3, -0.4, 0.5, 0.2], [0.0, 1.4, -1.1, 0.9]


def logits(start, steps, z):
    """Returns the guide's logits of the next site."""
    k = len(z)
    skip = 3.0 * (z[0] - 0.5) if k == LEVELS - 1 else 0.0
    return start[..., k] + (steps[..., k] * (z[-1] - 0.5) if z else 0.0) + skip


def prior(z):
    return 0.7 * z[-1] - 0.2 if z else 0.1


def loc(z):
    return z[3] * (2.0 * z[0] - 0.6) - 0.5 * z[0] * z[1] + 0.6 * z[1] * z[2]


def numpyro_model():
    z = []
    for k in range(LEVELS):
        z.append(numpyro.sample(f"z{k}", jax_dist.Bernoulli(logits=prior(z))))
        numpyro.sample(f"x{k}", jax_dist.Normal(z[k], 0.9), obs=0.4)
    numpyro.sample("x", jax_dist.Normal(loc(z), 0.6), obs=0.9)


def numpyro_guide(infer=()):
    start = numpyro_case.param("start", START)
    steps, z = numpyro_case.param("steps", STEPS), []
    for k in range(LEVELS):
        law = jax_dist.Bernoulli(logits=logits(start, steps, z))
        z.append(numpyro.sample(f"z{k}", law))


def exact(start, steps, mass, normal, exp):
    total = 0.0
    for z in itertools.product((0.0, 1.0), repeat=LEVELS):
        log_q = log_p = normal(0.9, loc(z), 0.6)
        log_q = 0.0
        for k in range(LEVELS):
            log_q = log_q + mass(logits(start, steps, z[:k]), z[k])
            log_p = log_p + mass(prior(z[:k]), z[k]) + normal(0.4, z[k], 0.9)
        total = total - exp(log_q) * (log_p - log_q)
    return total


ON_NUMPYRO = numpyro_case.Case(
    "chain",
    {"start": START, "steps": STEPS},
    numpyro_model,
    numpyro_guide,
    lambda p: exact(p["start"], p["steps"], numpyro_case.mass, numpyro_case.normal, jnp.exp),
    depth=LEVELS,
)


def pyro_program(param, infer):
    def model():
        z = []
        for k in range(LEVELS):
            z.append(pyro.sample(f"z{k}", torch_dist.Bernoulli(logits=_tensor(prior(z)))))
            law = torch_dist.Normal(z[k], _tensor(0.9))
            pyro.sample(f"x{k}", law, obs=torch.full_like(z[k], 0.4))
        law = torch_dist.Normal(loc(z), _tensor(0.6))
        pyro.sample("x", law, obs=torch.full_like(z[0], 0.9))

    def guide():
        start, steps, z = param("start"), param("steps"), []
        for k in range(LEVELS):
            law = torch_dist.Bernoulli(logits=logits(start, steps, z))
            z.append(pyro.sample(f"z{k}", law))

    return model, guide


def _tensor(x):
    return torch.as_tensor(x, dtype=torch.float64)


ON_PYRO = pyro_case.Case(
    "chain",
    {"start": pyro_case.tensor(START), "steps": pyro_case.tensor(STEPS)},
    pyro_program,
    lambda start, steps: exact(
        start,
        steps,
        lambda a, b: pyro_case.bernoulli(_tensor(a), _tensor(b)),
        lambda x, at, scale: _tensor(numpyro_case.normal(x, at, scale)),
        torch.exp,
    ).sum(),
    depth=LEVELS,
)


def test_the_mean_gradient_is_exact_on_numpyro():
    elbo = rx_numpyro.REBAR_ELBO(temperature=0.6, eta=0.7, learn=False, depth=1)
    outcome = measure_numpyro(elbo, ON_NUMPYRO, draws=80_000)
    assert outcome.worst < 4
    assert outcome.error < 0.1


@pytest.mark.parametrize(
    ("make", "depth"),
    [(rx_pyro.REBAR_ELBO, 0), (rx_pyro.REBAR_ELBO, 1), (rx_pyro.RELAX_ELBO, 2)],
)
def test_the_mean_gradient_is_exact_on_pyro(make, depth):
    outcome = measure_pyro(make(learn=True, depth=depth), ON_PYRO, draws=10_000, calls=3)
    assert outcome.worst < 4
    assert outcome.error < 0.12


def runs_on_numpyro(levels, depth):
    count = 0

    def guide():
        z = 0.5
        for k in range(levels):
            z = numpyro.sample(f"z{k}", jax_dist.Bernoulli(logits=z - 0.3))

    def model():
        nonlocal count
        count += 1
        guide()

    elbo = rx_numpyro.REBAR_ELBO(learn=False, depth=depth)
    jax.make_jaxpr(lambda key: elbo.loss(key, {}, model, guide))(jax.random.key(0))
    return count


def runs_on_pyro(levels, depth):
    pyro.clear_param_store()
    count = 0

    def guide():
        z = pyro.param("start", torch.tensor(0.5))
        for k in range(levels):
            z = pyro.sample(f"z{k}", torch_dist.Bernoulli(logits=z - 0.3))

    def model():
        nonlocal count
        count += 1
        z = torch.tensor(0.5)
        for k in range(levels):
            z = pyro.sample(f"z{k}", torch_dist.Bernoulli(logits=z - 0.3))

    elbo = rx_pyro.REBAR_ELBO(learn=False, depth=depth)
    elbo.loss_and_grads(model, guide)
    count = 0
    elbo.loss_and_grads(model, guide)
    return count


@pytest.mark.parametrize("runs", [runs_on_numpyro, runs_on_pyro])
def test_a_longer_chain_takes_no_more_evaluations(runs):
    # NumPyro's trace runs once more where a site is relaxed, for what depends on it by jumps.
    first = runs(0, 1) + (runs is runs_on_numpyro)
    assert runs(4, 1) == runs(9, 1) == first + 3
    assert runs(9, 2) == first + 4
    assert runs(4, None) == first + 4
