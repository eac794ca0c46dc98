"""The free control variate's network, against its formula in NumPy."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from relaxppl.estimators import laws, network, relax
from tests.estimators.noise import BACKENDS


@pytest.mark.parametrize("backend", BACKENDS)
def test_one_layer_and_a_linear_part(backend):
    rng = np.random.default_rng(0)
    shapes = {k: v.shape for k, v in network.initial(3, hidden=4).items()}
    weights = {name: rng.normal(size=shape) for name, shape in shapes.items()}
    x = rng.normal(size=(5, 2, 3))
    make = BACKENDS[backend]
    ours = network.apply({k: make(v) for k, v in weights.items()}, make(x))
    units = np.tanh(x @ weights["weight_in"] + weights["bias_in"])
    linear = x @ weights["weight_skip"] + weights["bias_out"]
    np.testing.assert_allclose(ours, units @ weights["weight_out"] + linear, atol=1e-12)


def test_first_units_are_neither_flat_nor_saturated():
    for features in (1, 400):
        start = network.initial(features, hidden=500)
        x = np.random.default_rng(1).normal(size=(200, features))
        assert np.std(x @ start["weight_in"]) == pytest.approx(1.0, abs=0.1)
        outputs = network.apply({k: jnp.asarray(v) for k, v in start.items()}, jnp.asarray(x))
        assert not np.any(outputs)


def test_the_control_variate_sees_the_value_relaxed_at_temperature_one():
    rng = np.random.default_rng(2)
    law = laws.Bernoulli(jnp.asarray(rng.normal(size=7)))
    draw = laws.Draw(law, jnp.asarray(1.0 * (rng.uniform(size=7) < 0.5)), rng.logistic(size=7))
    seen = []
    relax.network_control(draw, lambda x: seen.append(jax.lax.stop_gradient(x)) or 0.0 * x)
    np.testing.assert_allclose(seen[0], 1.0 / (1.0 + np.exp(-draw.latent)), rtol=1e-12)
