"""ArviZ's comparison of two fits to real data, row by row, against exact leave-one-out."""

from __future__ import annotations

from typing import Any

import arviz as az
import numpy as np
import pytest
from scipy import special, stats
from sklearn.datasets import load_diabetes

from tests.common.arviz import arviz_cases as cases

SCALES = np.array([0.8, 1.0])


def data() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Age, body mass and the progression of diabetes, standardised."""
    x, y = load_diabetes(return_X_y=True)
    age, mass = ((column - column.mean()) / column.std() for column in (x[:, 0], x[:, 2]))
    return age, mass, (y - y.mean()) / y.std()


def fit(host: Any, x: np.ndarray) -> Any:
    """A line of unknown slope, and a bit that says how wide the noise is."""
    rx, dist, array = host.rx, host.dist, host.array

    def model(x, y):
        wide = host.sample("wide", dist.Bernoulli(array(0.5)))
        slope = host.sample("slope", dist.Normal(array(0.0), 1.0))
        scale = SCALES[0] + (SCALES[1] - SCALES[0]) * wide
        with host.plate("patient", len(x)):
            host.sample("y", dist.Normal(slope * x, scale), obs=y)

    guide = rx.AutoDiscrete(model)
    svi = host.svi(model, guide, rx.LocalExpectation_ELBO(), rate=0.1)
    arguments = (array(x), array(data()[2]))
    result = host.fit(svi, 100, *arguments)
    return host.to_arviz(svi, result, *arguments, num_draws=400, correct="psis")


def leave_one_out(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The log density of each datum given all others: the slope integrated, the bit summed."""
    joint, left = [], []
    for scale in SCALES:
        precision = 1 + (x @ x - x**2) / scale**2
        mean = (x @ y - x * y) / scale**2 / precision
        each = stats.norm.logpdf(y, mean * x, np.sqrt(scale**2 + x**2 / precision))
        cov = scale**2 * np.eye(len(x)) + np.outer(x, x)
        whole = stats.multivariate_normal.logpdf(y, np.zeros(len(x)), cov)
        left.append(each)
        joint.append(whole - each)
    weight = np.array(joint) - special.logsumexp(joint, axis=0)
    return special.logsumexp(weight + np.array(left), axis=0)


# Most of the time goes into what ArviZ does with either host's draws, and into compiling.
@pytest.mark.parametrize("name", ["pyro", pytest.param("numpyro", marks=pytest.mark.long)])
def test_compare_ranks_two_fits_as_exact_leave_one_out_does(name):
    host = cases.host_of(name)
    age, mass, y = data()
    fits = {"mass": fit(host, mass), "age": fit(host, age)}
    assert fits["mass"]["log_likelihood"]["y"].sizes["patient"] == len(y)
    table = az.compare(fits)
    assert list(table.index) == ["mass", "age"]
    exact = [leave_one_out(x, y).sum() for x in (mass, age)]
    difference = abs(float(table.loc["age", "elpd_diff"]))
    # ArviZ 1.x rounds to the digits that its standard error allows for: 85 to 90.
    assert difference == pytest.approx(exact[0] - exact[1], abs=5.0)
    assert difference > 20
