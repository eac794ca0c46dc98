"""Sites that were summed out, drawn for ArviZ from their law given all others."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import special, stats

from tests.common.arviz import arviz_cases as cases
from tests.common.arviz.arviz_cases import both

Y = np.array([-1.2, 0.1, 2.3, 0.9, 1.4])
MARK = {"enumerate": "parallel"}


def programs(host: Any, mark: dict[str, str] = MARK) -> tuple[Any, ...]:
    """Two components with a mean that the guide draws; a class for each datum, summed out."""
    dist, array = host.dist, host.array

    def model(y):
        loc = host.sample("loc", dist.Normal(array(1.0), 2.0))
        host.sample("flip", dist.Bernoulli(array(0.3)), infer=dict(mark))
        with host.plate("data", len(Y)):
            k = host.sample("k", dist.Categorical(array([0.6, 0.4])), infer=dict(mark))
            host.sample("y", dist.Normal(loc * k, array(0.8)), obs=y)

    def guide(y):
        host.sample("loc", dist.Normal(array(1.2), 0.7))

    return model, guide, {}, array(Y)


@both
def test_draws_are_those_given_the_others(name):
    host = cases.host_of(name)
    data = host.to_arviz(*programs(host), num_draws=4000)
    loc, k = (data["posterior"][site].values[0] for site in ("loc", "k"))
    assert k.dtype.kind == "i"
    assert data["posterior"]["k"].dims == ("chain", "draw", "data")
    each = [stats.norm.logpdf(Y, mean * loc[:, None], 0.8) for mean in (0.0, 1.0)]
    p = special.expit(each[1] - each[0] + np.log(0.4 / 0.6))
    # Against the law of each draw's own mean: residuals have mean zero, overall and along it.
    for weight in (np.ones_like(loc), loc - loc.mean()):
        residual = weight[:, None] * (k - p)
        error = np.sqrt(np.mean(weight[:, None] ** 2 * p * (1 - p), axis=0) / len(loc))
        assert np.all(np.abs(residual.mean(0)) < 4.5 * error)
    # One draw for each datum.
    gap = (k - p) / np.sqrt(p * (1 - p))
    assert np.abs(np.corrcoef(gap.T) - np.eye(len(Y))).max() < 4.5 / np.sqrt(len(loc))
    assert abs(data["posterior"]["flip"].values.mean() - 0.3) < 4.5 * np.sqrt(0.21 / 4000)
    likelihood = stats.norm.logpdf(Y, loc[:, None] * k, 0.8)
    np.testing.assert_allclose(data["log_likelihood"]["y"][0], likelihood, rtol=1e-4, atol=1e-5)
    with pytest.raises(ValueError, match="leaves 'flip', 'k' to be summed out"):
        host.rx.pareto_k(data)


@both
def test_a_site_that_is_not_marked_is_refused_with_the_way_out(name):
    host = cases.host_of(name)
    with pytest.raises(ValueError, match=r"no site 'flip', 'k'.*infer=\{'enumerate': 'parallel'\}"):
        host.to_arviz(*programs(host, {}), num_draws=4)
