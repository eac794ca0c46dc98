"""A saturated coordinate, under the scale of a subsampled plate, has a finite gradient."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

import relaxppl.numpyro as rn
import relaxppl.pyro as rp

SCALE = 600.0
NOISE = np.array([-87.0, -40.0, -16.0, 0.0, 16.0, 40.0, 87.0], np.float32)


@pytest.mark.parametrize("temperature", [0.05, 0.5])
@pytest.mark.parametrize("name", ["RelaxedBernoulli", "RelaxedOneHotCategorical"])
def test_gradient_is_finite_on_both_hosts(name: str, temperature: float) -> None:
    noise = NOISE if name == "RelaxedBernoulli" else np.stack([NOISE, NOISE[::-1], 0 * NOISE], -1)
    logits = np.linspace(-30.0, 30.0, noise.size, dtype=np.float32).reshape(noise.shape)

    def jax_loss(logits: jax.Array) -> jax.Array:
        q = getattr(rn, name)(temperature, logits=logits)
        p = getattr(rn, name)(temperature, logits=jnp.zeros_like(logits))
        x = q.from_noise(jnp.asarray(noise))
        return SCALE * (p.log_prob(x) - q.log_prob(x)).sum()

    value, gradient = jax.jit(jax.value_and_grad(jax_loss))(jnp.asarray(logits))
    assert np.isfinite(value)
    assert np.isfinite(gradient).all()
    assert np.abs(gradient).max() > 0

    a = torch.tensor(logits, requires_grad=True)
    q = getattr(rp, name)(torch.tensor(temperature), logits=a)
    p = getattr(rp, name)(torch.tensor(temperature), logits=torch.zeros_like(a))
    x = q.from_noise(torch.tensor(noise))
    loss = SCALE * (p.log_prob(x) - q.log_prob(x)).sum()
    (torch_gradient,) = torch.autograd.grad(loss, a)
    assert torch.isfinite(loss)
    assert torch.isfinite(torch_gradient).all()
    np.testing.assert_allclose(torch_gradient, gradient, rtol=1e-3, atol=1e-2)


@pytest.mark.parametrize("low", [-20.0])
def test_logistic_noise_has_no_atom_far_below(low: float) -> None:
    # Twenty million draws: a uniform clamped at the least float gives about two at -87.
    q = rn.RelaxedBernoulli(0.5, logits=jnp.zeros(20_000_000))
    assert float(q.draw_noise(jax.random.key(0)).min()) > low
    torch.manual_seed(0)
    p = rp.RelaxedBernoulli(torch.tensor(0.5), logits=torch.zeros(20_000_000))
    assert float(p.draw_noise().min()) > low
