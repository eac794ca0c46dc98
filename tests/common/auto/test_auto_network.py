"""AutoDiscrete with a network of the data: a discrete VAE whose guide nobody wrote."""

from __future__ import annotations

import re
from typing import Any

import equinox as eqx
import jax
import numpy as np
import numpyro
import pyro
import pytest
import torch

from tests.adapter import both

# Rows of six pixels: two switches, each of which lights up three of them, read with little noise.
SWITCHES = np.random.default_rng(0).integers(0, 2, size=(40, 2))
ROWS = np.repeat(SWITCHES, 3, axis=1) + 0.1 * np.random.default_rng(1).normal(size=(40, 6))
LIGHTS = np.kron(np.eye(2), np.ones(3))


def program(host: Any, rows: int, learned: bool = True) -> Any:
    """Two hidden bits of each of the rows, of which a step sees so many."""

    def model(x: Any) -> None:
        decoder = host.array(LIGHTS)
        if learned:
            decoder = host.lib.param("decoder", host.array(LIGHTS))
        with host.plate("rows", len(x), subsample_size=rows) as index:
            z = host.sample("z", host.dist.Bernoulli(host.array([0.5, 0.5])).to_event(1))
            k = host.sample("k", host.dist.Categorical(host.array([0.5, 0.5])))
            host.sample("x", host.dist.Normal(z @ decoder, 0.6).to_event(1), obs=x[index])
            host.sample("first", host.dist.Normal(1.0 * k, 0.3), obs=x[index, 0])

    return model


def network(host: Any) -> Any:
    if host.name == "numpyro":
        return eqx.nn.MLP(6, 8, 8, 1, key=jax.random.key(0), dtype=float)
    torch.manual_seed(0)
    layers = torch.nn.Linear(6, 8), torch.nn.Tanh(), torch.nn.Linear(8, 8)
    return torch.nn.Sequential(*layers).double()


@both
def test_a_discrete_vae_trains_without_a_guide_by_hand(host: Any) -> None:
    pyro.clear_param_store()
    x, model = host.array(ROWS), program(host, 20)
    guide = host.rx.AutoDiscrete(model, network=network(host))
    if host.name == "numpyro":
        elbo = host.rx.RLOO_ELBO(num_particles=8)
        svi = numpyro.infer.SVI(model, elbo.prepare(guide), numpyro.optim.Adam(0.03), elbo)
        first = jax.jit(svi.init)(jax.random.key(0), x)
        result = svi.run(jax.random.key(0), 150, x, init_state=first, progress_bar=False)
        params = (result.params,)
        assert {"auto_network$params", "z_auto_head", "z_auto_bias", "decoder"} <= {*params[0]}
        assert params[0]["z_auto_head"].shape == (8, 2)
        assert params[0]["k_auto_head"].shape == (8, 2)
    else:
        pyro.set_rng_seed(0)
        options = {"vectorize_particles": True, "max_plate_nesting": 1}
        elbo = host.rx.RLOO_ELBO(num_particles=8, **options)
        svi = pyro.infer.SVI(model, guide, pyro.optim.Adam({"lr": 0.1}), elbo)
        for _ in range(125):
            svi.step(x)
        params = ()
        names = {name for name, _ in guide.named_parameters()}
        names = {name.removesuffix("_unconstrained") for name in names}
        assert {"network.0.weight", "head.z", "bias.z"} <= names
    probs = guide.probs(*params, x)
    np.testing.assert_array_equal(host.numpy(probs["z"]).round(), SWITCHES)
    np.testing.assert_array_equal(host.numpy(probs["k"])[:, 1].round(), SWITCHES[:, 0])
    assert host.numpy(guide.probs(*params, x[:5])["z"]).shape == (5, 2)


@both
def test_a_network_sees_its_inputs_or_is_refused(host: Any) -> None:
    pyro.clear_param_store()
    x, model, make = host.array(ROWS), program(host, 40, learned=False), host.rx.AutoDiscrete
    seen: list[Any] = []

    def features(rows: Any) -> Any:
        seen.append(tuple(rows.shape))
        return rows

    guide = make(model, network=features, inputs=lambda x: x[:, :2])
    assert tuple(host.trace(guide, x)["z"]["value"].shape) == (40, 2)
    assert set(seen) == {(40, 2)}
    with pytest.raises(ValueError, match="amortize and network both"):
        make(model, network=features, amortize=lambda x: {})
    with pytest.raises(ValueError, match="inputs says what a network sees"):
        make(model, inputs=lambda x: x)
    with pytest.raises(ValueError, match=re.escape("shape (40,) for the site 'z'")):
        host.trace(make(model, network=lambda rows: rows[:, 0]), x)
    with pytest.raises(ValueError, match=r"40 rows, and no discrete site.*'b'"):
        host.trace(make(lambda x: alone(host), network=features), x)


def alone(host: Any) -> None:
    host.sample("b", host.dist.Bernoulli(host.array(0.5)))
