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
QUICK = {"posterior_predictive": False, "log_likelihood": False}


def programs(host: Any, tie: str = "") -> tuple[Any, ...]:
    """A rate that all bits share, a bit and a number for each datum; the guide sees no datum.

    :param tie: how rows touch each other: "rarely", only where all bits are one, in a term outside
        of their plate; "inside" of it.
    """
    dist, array = host.dist, host.array

    def model(y):
        r = host.sample("r", dist.Categorical(probs=array([0.2, 0.5, 0.3])))
        with host.plate("data", len(Y)):
            z = host.sample("z", dist.Bernoulli(array(RATES)[r]))
            mean = 2.0 * z
            if tie == "inside":
                mean = mean + 0.1 * z.sum(-1)[..., None]
            host.sample("y", dist.Normal(mean, 1.2), obs=y)
        if tie == "rarely":
            host.lib.factor("all", -5.0 * z.prod(-1))

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


# What is made of the draws knows no host, so that each kind is tried on one.
@pytest.mark.parametrize(("name", "kind"), [("numpyro", "psis"), ("pyro", "mh")])
def test_rows_below_a_shared_site_have_the_exact_posterior(name, kind):
    host = cases.host_of(name)
    data = host.to_arviz(*programs(host), num_draws=DRAWS, correct=kind, particles=8, **QUICK)
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
    for tie in ("rarely", "inside"):
        model, guide, params, y = programs(host, tie)
        run = sampler(model, guide, params, (y,), {}, Request(correct="mh"))
        run.prototype(key)
        assert run.local.plates == {}
    with pytest.raises(ValueError, match="particles must be at least 1, got 0"):
        host.to_arviz(*programs(host), correct="psis", particles=0)
