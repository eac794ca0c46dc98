"""The estimators written by hand are right: their mean gradient is the enumerated one.

What the ELBOs are timed against has to be the same estimator. The ELBOs' own gradients are held
against enumeration in tests/hosts/elbo.
"""

from __future__ import annotations

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from tests.benchmarks import chains_jax, reference_sbn_jax, reference_sbn_torch

PIXELS, LATENTS, ROWS, CHUNKS = 4, 3, 1_000, 40
RNG = np.random.default_rng(0)
IMAGES = np.tile(RNG.integers(2, size=(2, PIXELS)), (ROWS // 2, 1)).astype(float)
START = {  # In the order of the names, as JAX has it.
    "V": RNG.normal(size=(LATENTS, PIXELS)),
    "W": RNG.normal(size=(PIXELS, LATENTS)),
    "v": RNG.normal(size=PIXELS),
    "w": RNG.normal(size=LATENTS),
}
NETWORK = {
    "in": RNG.normal(size=(LATENTS, 16)),
    "bias": RNG.normal(size=16),
    "out": RNG.normal(size=16),
    "skip": RNG.normal(size=LATENTS),
    "level": RNG.normal(),
}
DRAWS = {"vimco": 2}


def exact(estimator: str) -> np.ndarray:
    """The gradient of the bound in the network's parameters, by the sum over all codes.

    VIMCO's bound is that of two draws: the sum is over all pairs.
    """
    params = {name: torch.tensor(value, requires_grad=True) for name, value in START.items()}
    x = torch.tensor(IMAGES[:2])
    codes = torch.tensor(list(itertools.product([0.0, 1.0], repeat=LATENTS)), dtype=x.dtype)
    q = torch.distributions.Bernoulli(logits=(x @ params["W"] + params["w"])[:, None])
    p = torch.distributions.Bernoulli(logits=codes @ params["V"] + params["v"])
    log_q = q.log_prob(codes).sum(-1)
    log_p = p.log_prob(x[:, None]).sum(-1) - LATENTS * np.log(2.0)
    log_w, q_of = log_p - log_q, log_q.exp()
    bound = (q_of * log_w).sum(-1).mean()
    if estimator == "vimco":
        pairs = torch.logaddexp(log_w[:, :, None], log_w[:, None]) - np.log(2.0)
        bound = (q_of[:, :, None] * q_of[:, None] * pairs).sum((1, 2)).mean()
    return np.concatenate([g.ravel() for g in torch.autograd.grad(bound, list(params.values()))])


def by_torch(estimator: str) -> np.ndarray:
    params = {name: torch.tensor(value, requires_grad=True) for name, value in START.items()}
    own = reference_sbn_torch.initial_params(0, estimator, PIXELS, LATENTS)
    own |= {name: torch.tensor(value) for name, value in NETWORK.items()}
    given, x = {**own, **params}, torch.tensor(IMAGES)
    found = []
    for _ in range(CHUNKS):
        value = reference_sbn_torch.objective(given, x, estimator, DRAWS.get(estimator, 4))[0]
        found.append(torch.cat([g.ravel() for g in torch.autograd.grad(value, params.values())]))
    return torch.stack(found).numpy()


def by_jax(estimator: str) -> np.ndarray:
    own = {"log_T": jnp.log(0.1), "eta": jnp.array(1.0), "net": NETWORK}

    def one(key):
        def value(params):
            given = key, IMAGES, estimator, False, DRAWS.get(estimator, 4), 0.0
            return reference_sbn_jax.objective({**own, **params}, *given)[0]

        return jnp.concatenate([g.ravel() for g in jax.grad(value)(START).values()])

    rows = jax.jit(lambda keys: jax.lax.map(one, keys))(jax.random.split(jax.random.key(0), CHUNKS))
    return np.asarray(rows)


@pytest.mark.parametrize("host", [by_torch, by_jax])
@pytest.mark.parametrize("estimator", reference_sbn_torch.ESTIMATORS)
def test_mean_gradient_is_the_enumerated_one(estimator, host, monkeypatch):
    monkeypatch.setattr(reference_sbn_jax, "LATENTS", LATENTS)
    found, truth = host(estimator), exact(estimator)
    error = found.std(0) / np.sqrt(CHUNKS)
    assert np.all(np.abs(found.mean(0) - truth) <= 4.5 * error + 1e-12)
    assert np.linalg.norm(error) < 0.05 * np.linalg.norm(truth)


@pytest.mark.parametrize("name", ["log_T", "eta", "skip"])
def test_what_is_learned_follows_the_variance(name):
    """By finite differences of the mean of h squared, at the same draw."""
    params = reference_sbn_torch.initial_params(0, "relax", PIXELS, LATENTS)
    params = {n: p.detach().double().requires_grad_() for n, p in params.items()}
    params |= {n: torch.tensor(v, requires_grad=True) for n, v in {**START, **NETWORK}.items()}
    x = torch.tensor(IMAGES[:20])

    def at(shift: float) -> tuple[torch.Tensor, torch.Tensor]:
        torch.manual_seed(1)
        moved = {**params, name: params[name] + shift}
        value, _, h = reference_sbn_torch.objective(moved, x, "relax")
        return value, (h**2).sum(-1).mean()

    (gradient,) = torch.autograd.grad(at(0.0)[0], params[name])
    difference = (at(1e-6)[1] - at(-1e-6)[1]) / 2e-6
    assert float(-gradient.sum()) == pytest.approx(float(difference), rel=1e-5)


@pytest.mark.parametrize("estimator", ["score", "REBAR"])
def test_mean_gradient_of_a_chain_is_the_enumerated_one(estimator):
    x, names = RNG.normal(size=(1, LATENTS)), ("weight", "slope", "loc")
    params = {n: jnp.asarray(RNG.normal(size=LATENTS)) for n in names}
    codes = jnp.array(list(itertools.product([0.0, 1.0], repeat=LATENTS)))

    def exact_bound(params):
        q = jax.nn.sigmoid(x * params["weight"])
        log_q = jax.scipy.stats.bernoulli.logpmf(codes, q).sum(-1)
        log_p = jax.scipy.stats.bernoulli.logpmf(codes, 0.5).sum(-1)
        log_p += jax.scipy.stats.norm.logpdf(x, params["loc"] * codes).sum(-1)
        return (jnp.exp(log_q) * (log_p - log_q)).sum()

    @jax.vmap
    def drawn(key):
        own = {name: jnp.asarray(value) for name, value in chains_jax.LEARNED.items()}
        given = lambda p: chains_jax.objective([{**own, **p}], key, x[None], estimator)  # noqa: E731
        return jax.grad(given)(params)

    found = jax.jit(drawn)(jax.random.split(jax.random.key(0), 40_000))
    for name, truth in jax.grad(exact_bound)(params).items():
        error = found[name].std(0) / 200.0
        assert np.all(np.abs(found[name].mean(0) - truth) <= 4.5 * error + 1e-12), name
        assert np.linalg.norm(error) < 0.05
