"""AutoDiscrete trained by REBAR_ELBO against the best mean-field approximation, through ArviZ."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import numpyro
import pyro
import pytest
import torch

from tests.adapter import both, compiled_slowly
from tests.common.auto.auto_cases import mixture, mixture_posterior, network, network_mean_field

GROUPS = {"num_draws": 20_000, "posterior_predictive": False, "log_likelihood": False}


def fitted(host: Any, model: Any, steps: int) -> tuple[Any, Any]:
    """Returns the trained guide's draws as a posterior group, and its own marginals."""
    guide = host.rx.AutoDiscrete(model)
    if host.name == "numpyro":
        elbo = host.rx.REBAR_ELBO(num_particles=64)
        rate = numpyro.optim.optimizers.polynomial_decay(0.2, steps, 0.002, 1.0)
        svi = numpyro.infer.SVI(model, elbo.prepare(guide), numpyro.optim.Adam(rate), elbo)
        result = svi.run(jax.random.key(0), steps, progress_bar=False)
        data = host.rx.to_arviz(svi, result, rng_key=jax.random.key(1), **GROUPS)
        return data.posterior, guide.probs(result.params)
    pyro.clear_param_store()
    torch.manual_seed(0)
    elbo = host.rx.REBAR_ELBO(num_particles=64, max_plate_nesting=1, vectorize_particles=True)
    options = {"optimizer": torch.optim.Adam, "optim_args": {"lr": 0.2}}
    schedule = pyro.optim.ExponentialLR({**options, "gamma": 0.01 ** (1 / steps)})
    svi = pyro.infer.SVI(model, elbo.prepare(guide), schedule, elbo)
    for _ in range(steps):
        svi.step()
        schedule.step()
    data = host.rx.to_arviz(svi, None, **GROUPS)
    return data.posterior, guide.probs()


@compiled_slowly
def test_mixture_assignment(host: Any) -> None:
    steps = 500 if host.name == "numpyro" else 220
    posterior, probs = fitted(host, mixture(host), steps)
    drawn = posterior["z"].mean(("chain", "draw")).values
    np.testing.assert_allclose(drawn, mixture_posterior(), atol=0.02)
    np.testing.assert_allclose(host.numpy(probs["z"]), drawn, atol=0.015)


@pytest.mark.long
@both
def test_network(host: Any) -> None:
    steps = 500 if host.name == "numpyro" else 220
    posterior, _ = fitted(host, network(host), steps)
    drawn = [float(posterior[name].mean()) for name in "bac"]
    np.testing.assert_allclose(drawn, network_mean_field(), atol=0.02)
