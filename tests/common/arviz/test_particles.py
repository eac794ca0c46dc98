"""Rows below shared sites, corrected one by one, against an exact posterior."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
import pytest
from scipy import stats

from relaxppl.common.arviz.request import Request
from tests.common.arviz import arviz_cases as cases
from tests.common.arviz.arviz_cases import both

Y = np.concatenate([np.linspace(-2.0, 3.0, 30), np.linspace(0.0, 1.0, 10)])
RATES = np.array([0.2, 0.5, 0.8])
DRAWS = 2000


def programs(host: Any, across: bool = False) -> tuple[Any, ...]:
    """A rate that all bits share, a bit and a number for each datum; the guide sees no datum."""
    dist, array = host.dist, host.array

    def model(y):
        r = host.sample("r", dist.Categorical(probs=array([0.2, 0.5, 0.3])))
        with host.plate("data", len(Y)):
            z = host.sample("z", dist.Bernoulli(array(RATES)[r]))
            host.sample("y", dist.Normal(2.0 * z, 1.2), obs=y)
        if across:
            host.lib.factor("all", -0.01 * (z.sum(-1) - 20.0) ** 2)

    def guide(y):
        host.sample("r", dist.Categorical(probs=array([0.3, 0.4, 0.3])))
        with host.plate("data", len(Y)):
            host.sample("z", dist.Bernoulli(logits=0.8 * (y - 1.0)))

    return model, guide, {}, array(Y)


def exact() -> tuple[np.ndarray, np.ndarray]:
    """The masses of the rates, and those of each bit's being one."""
    ones = RATES[:, None] * stats.norm.pdf(Y, 2.0, 1.2)
    zeros = (1 - RATES[:, None]) * stats.norm.pdf(Y, 0.0, 1.2)
    joint = np.log([0.2, 0.5, 0.3]) + np.log(ones + zeros).sum(1)
    mass = np.exp(joint - joint.max())
    mass /= mass.sum()
    return mass, mass @ (ones / (ones + zeros))


@both
@pytest.mark.parametrize("kind", ["psis", "mh"])
def test_rows_below_a_shared_site_have_the_exact_posterior(name, kind):
    host = cases.host_of(name)
    data = host.to_arviz(*programs(host), num_draws=DRAWS, correct=kind, particles=8)
    attrs = data["sample_stats"].attrs
    assert (attrs["rows"], attrs["particles"]) == ("data", 8)
    assert attrs["pareto_k"] < 0.7
    r, z = data["posterior"]["r"].values.ravel(), data["posterior"]["z"].values.reshape(DRAWS, -1)
    mass, ones = exact()
    effective = min(DRAWS, attrs.get("ess_bulk", DRAWS) / 2)
    counts = np.bincount(r, minlength=3) * effective / DRAWS
    assert stats.chisquare(counts, mass * effective).pvalue > 1e-3
    error = np.sqrt(ones * (1 - ones) / effective)
    assert np.all(np.abs(z.mean(0) - ones) < 4.5 * error + 1e-3)
    # What depends on both is that of one posterior: the bits of the draws at each rate.
    likely = int(mass.argmax())
    given = RATES[likely] * stats.norm.pdf(Y, 2.0, 1.2)
    given /= given + (1 - RATES[likely]) * stats.norm.pdf(Y, 0.0, 1.2)
    assert abs(z[r == likely].mean() - given.mean()) < 0.02
    log_p = np.log([0.2, 0.5, 0.3])[r] + stats.bernoulli.logpmf(z, RATES[r][:, None]).sum(1)
    log_p += stats.norm.logpdf(Y, 2.0 * z, 1.2).sum(1)
    np.testing.assert_allclose(data["sample_stats"]["log_p"].values.ravel(), log_p, rtol=1e-4)


@both
def test_rows_that_touch_each_other_have_one_weight(name):
    host = cases.host_of(name)
    sampler = importlib.import_module(f"relaxppl.{name}.arviz.sampler").Sampler
    key = host.key(0) if name == "numpyro" else None
    for across, plates in ((False, {-1: ("data", len(Y))}), (True, {})):
        model, guide, params, y = programs(host, across)
        run = sampler(model, guide, params, (y,), {}, Request(correct="mh"))
        run.prototype(key)
        assert run.local.plates == plates
    with pytest.raises(ValueError, match="particles must be at least 1, got 0"):
        host.to_arviz(*programs(host), correct="psis", particles=0)
