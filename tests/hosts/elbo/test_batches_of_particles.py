"""``vectorize_particles`` as a number: the same gradient as with all particles at once."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as jax_dist
import pyro
import pyro.distributions as torch_dist
import pytest
import torch

import relaxppl.numpyro as rx_numpyro
import relaxppl.pyro as rx_pyro

PARTICLES, ROWS = 5, 3
DATA = np.random.default_rng(0).normal(size=ROWS)
ELBOS = {
    "score": {},
    "rloo": {},
    "rloo, learned KL": {"exact_kl": "learned"},
    "average": {"baseline": "average"},
    "vimco": {},
}
CLASSES = {
    "score": "ScoreFunction_ELBO",
    "rloo": "RLOO_ELBO",
    "rloo, learned KL": "RLOO_ELBO",
    "average": "ScoreFunction_ELBO",
    "vimco": "VIMCO_ELBO",
}


def numpyro_model():
    with numpyro.plate("rows", ROWS):
        z = numpyro.sample("z", jax_dist.Bernoulli(logits=jnp.zeros((ROWS, 2))).to_event(1))
        numpyro.sample("x", jax_dist.Normal(z.sum(-1), 1.0), obs=jnp.asarray(DATA))


def numpyro_guide():
    logits = numpyro.param("logits", jnp.zeros((ROWS, 2)))
    with numpyro.plate("rows", ROWS):
        numpyro.sample("z", jax_dist.Bernoulli(logits=logits).to_event(1))


@pytest.mark.parametrize("name", ["rloo", "vimco"])
def test_any_number_gives_the_same_gradient_on_numpyro(name):
    def gradient(together):
        elbo = getattr(rx_numpyro, CLASSES[name])(PARTICLES, together)

        def loss(params):
            return elbo.loss(jax.random.key(0), params, numpyro_model, numpyro_guide)

        return jax.jit(jax.value_and_grad(loss))({"logits": jnp.full((ROWS, 2), 0.3)})

    # Two at a time, and the last one alone.
    found, whole = gradient(2), gradient(True)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, 1e-5), found, whole)


class Table(torch_dist.Bernoulli):
    """Bernoullis whose draws are given, so many of the particles at each call."""

    table: torch.Tensor
    used = 0

    def expand(self, batch_shape, _instance=None):
        return Table(logits=self.logits.expand(batch_shape))

    def sample(self, sample_shape=()):
        rows = Table.table[Table.used :]
        # In a batch the particles lie along the first dimension.
        if len(self.batch_shape) > 2:
            count = self.batch_shape[0]
            Table.used += count
            return rows[:count]
        Table.used += 1
        return rows[0]


def pyro_model():
    with pyro.plate("rows", ROWS, dim=-1):
        z = pyro.sample("z", torch_dist.Bernoulli(logits=torch.zeros(ROWS, 2)).to_event(1))
        pyro.sample("x", torch_dist.Normal(z.sum(-1), 1.0), obs=torch.as_tensor(DATA).float())


def pyro_guide():
    logits = pyro.param("logits", torch.full((ROWS, 2), 0.3))
    with pyro.plate("rows", ROWS, dim=-1):
        pyro.sample("z", Table(logits=logits).to_event(1))


@pytest.mark.parametrize("name", ELBOS)
def test_any_number_gives_the_same_gradient_on_pyro(name):
    generator = torch.Generator().manual_seed(0)
    Table.table = (torch.rand(PARTICLES, ROWS, 2, generator=generator) < 0.5).float()

    def gradient(together):
        pyro.clear_param_store()
        Table.used = 0
        elbo = getattr(rx_pyro, CLASSES[name])(
            PARTICLES, max_plate_nesting=1, vectorize_particles=together, **ELBOS[name]
        )
        elbo.prepare(pyro_guide)
        loss = elbo.loss_and_grads(pyro_model, pyro_guide)
        assert Table.used == PARTICLES
        store = pyro.get_param_store().named_parameters()
        return loss, {n: p.grad for n, p in store}

    loss, grads = gradient(True)
    assert grads["logits"].abs().sum() > 0
    for together in (False, 1, 2, 3, 7):
        other, found = gradient(together)
        assert other == pytest.approx(loss, rel=1e-5)
        torch.testing.assert_close(found, grads)


@pytest.mark.parametrize("rx", [rx_numpyro, rx_pyro])
@pytest.mark.parametrize("given", [0, -2, 1.5, "all"])
def test_other_numbers_are_refused(rx, given):
    with pytest.raises(ValueError, match="vectorize_particles must be True, False or how many"):
        rx.RLOO_ELBO(4, vectorize_particles=given)
