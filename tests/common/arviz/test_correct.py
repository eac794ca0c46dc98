"""Corrected posteriors against enumeration and conjugacy, on either line of ArviZ."""

from __future__ import annotations

import itertools
from typing import Any

import arviz as az
import numpy as np
import pytest
from scipy import special, stats

from relaxppl.common.arviz.pareto import smoothed
from tests.common.arviz import arviz_cases as cases
from tests.common.arviz.arviz_cases import both

DRAWS = 2000
Y = np.linspace(-2.0, 3.0, 7)


def bits(host: Any, guide_logit: float = -0.2) -> tuple[Any, Any]:
    """Two causes of one number, and a guide that takes them for independent."""
    dist, array = host.dist, host.array

    def model():
        a = host.sample("a", dist.Bernoulli(array(0.3)))
        b = host.sample("b", dist.Bernoulli(array(0.6)))
        mean = 1.5 * a - b + 0.8 * a * b
        host.sample("y", dist.Normal(mean, array(0.7)), obs=array(0.9))

    def guide():
        host.sample("a", dist.Bernoulli(array(0.5)))
        host.sample("b", dist.Bernoulli(logits=array(guide_logit)))

    return model, guide


def exact() -> np.ndarray:
    joint = [
        stats.bernoulli.pmf(a, 0.3)
        * stats.bernoulli.pmf(b, 0.6)
        * stats.norm.pdf(0.9, 1.5 * a - b + 0.8 * a * b, 0.7)
        for a, b in itertools.product((0, 1), (0, 1))
    ]
    return np.array(joint) / np.sum(joint)


def rows(host: Any, width: float = 1.0) -> tuple[Any, ...]:
    """A bit and a number for each datum, and what the model says of all of them together."""
    dist, array, lib = host.dist, host.array, host.lib

    def model(y):
        with host.plate("data", len(Y)):
            z = host.sample("z", dist.Bernoulli(array(0.3)))
            w = host.sample("w", dist.Normal(1.0 * z, array(1.0)))
            lib.deterministic("twice", 2 * w)
            host.sample("y", dist.Normal(w, array(0.8)), obs=y)
        lib.deterministic("all", w.sum())

    def guide(y):
        with host.plate("data", len(Y)):
            host.sample("z", dist.Bernoulli(array(0.4)))
            host.sample("w", dist.Normal(0.5 * y, array(width)))

    return model, guide, {}, array(Y)


@both
def test_chi_square_of_an_enumerated_posterior(name, monkeypatch):
    cases.draw_once(name, monkeypatch)
    for kind in ("psis", "mh"):
        passes_chi_square(cases.host_of(name), kind)


def passes_chi_square(host: Any, kind: str) -> None:
    data = host.to_arviz(*bits(host), {}, num_draws=DRAWS, correct=kind)
    a, b = (data["posterior"][site].values.ravel() for site in "ab")
    counts = np.bincount(2 * a + b, minlength=4)
    assert counts.sum() == DRAWS
    assert stats.chisquare(counts, DRAWS * exact()).pvalue > 1e-3
    # The test can tell: the guide's own draws are far off.
    mean_field = np.outer([0.5, 0.5], [special.expit(0.2), special.expit(-0.2)]).ravel()
    assert stats.chisquare(DRAWS * mean_field, DRAWS * exact()).pvalue < 1e-12
    found = data["sample_stats"]
    assert found.attrs["pareto_k"] < 0.7
    w = exact() / mean_field
    assert found.attrs["ess_weights"] == pytest.approx(10 * DRAWS / (exact() @ w), rel=0.05)
    with pytest.raises(ValueError, match="the draws were corrected"):
        host.rx.pareto_k(data)
    if kind == "mh":
        assert data["posterior"].sizes["chain"] == 4
        # That of an independence chain in equilibrium: E min(1, w' / w) over posterior and guide.
        rate = exact() @ np.minimum(1.0, w[None, :] / w[:, None]) @ mean_field
        assert float(found["acceptance_rate"].mean()) == pytest.approx(rate, abs=0.02)
        assert found.attrs["r_hat"] < 1.02
        assert 500 < found.attrs["ess_bulk"] < 1.5 * DRAWS


# What is made of the draws knows no host, so that each kind is tried on one.
@pytest.mark.parametrize(("name", "kind"), [("numpyro", "mh"), ("pyro", "psis")])
def test_elements_of_a_plate_are_corrected_one_by_one(name, kind):
    host = cases.host_of(name)
    data = host.to_arviz(*rows(host), num_draws=DRAWS, correct=kind)
    posterior = data["posterior"]
    z, w = posterior["z"].values, posterior["w"].values
    evidence = [stats.norm.logpdf(Y, mean, np.sqrt(1.64)) for mean in (0.0, 1.0)]
    p = special.expit(evidence[1] - evidence[0] + special.logit(0.3))
    means = [(mean + Y / 0.64) / (1 + 1 / 0.64) for mean in (0.0, 1.0)]
    first = (1 - p) * means[0] + p * means[1]
    second = (1 - p) * means[0] ** 2 + p * means[1] ** 2 + 1 / (1 + 1 / 0.64)
    error = DRAWS**-0.5
    np.testing.assert_allclose(z.mean((0, 1)), p, atol=4 * 0.5 * error)
    deviation = np.sqrt(second - first**2)
    assert np.all(np.abs(w.mean((0, 1)) - first) < 4 * deviation * error)
    # Rows that share nothing stay uncorrelated, and what is of a row goes with it.
    correlations = np.corrcoef(w.reshape(-1, len(Y)).T) - np.eye(len(Y))
    assert np.abs(correlations).max() < 4.5 * error
    np.testing.assert_allclose(posterior["twice"], 2 * w, rtol=1e-5)
    likelihood = stats.norm.logpdf(Y, w, 0.8)
    np.testing.assert_allclose(data["log_likelihood"]["y"], likelihood, rtol=1e-4, atol=1e-5)
    log_p = likelihood + stats.norm.logpdf(w, z, 1.0) + stats.bernoulli.logpmf(z, 0.3)
    np.testing.assert_allclose(data["sample_stats"]["log_p"], log_p.sum(-1), rtol=1e-4)
    # A value of all rows together is that of no combination that was drawn.
    assert "all" not in posterior
    assert data["sample_stats"].attrs["left_out"] == "all"
    assert az.summary(data, kind="stats") is not None


@both
def test_what_cannot_be_corrected_is_refused_with_the_figures(name):
    host = cases.host_of(name)
    with pytest.raises(ValueError, match=r"correct must be None, 'psis', 'mh', got 'is'"):
        host.to_arviz(*bits(host), {}, correct="is")
    with pytest.raises(ValueError, match=r"k-hat .* is [\d.]+ in \d of 7 elements .*'data'"):
        host.to_arviz(*rows(host, 0.15), num_draws=200, correct="mh")

    def normal(scale):
        return lambda: host.sample("w", host.dist.Normal(host.array(0.0), host.array(scale)))

    with pytest.raises(ValueError, match=r"is [\d.]+ for all 2000 draws of the guide"):
        host.to_arviz(normal(1.0), normal(0.1), {}, num_draws=200, correct="psis")

    def gate(d, temperature):
        return host.rx.HardConcrete(host.array(temperature), logits=d.logits, low=-3.0, high=1.1)

    relaxed = [host.rx.relax(f, temperature=0.5, config={"a": gate, "b": gate}) for f in bits(host)]
    with pytest.raises(ValueError, match="needs the weights of the draws: the hardened draws of"):
        host.to_arviz(*relaxed, {}, num_draws=20, correct="mh")


def test_weights_of_few_values_are_left_as_they_are():
    rng = np.random.default_rng(0)
    few = np.log(rng.pareto(3.0, size=300))[rng.integers(300, size=20_000)]
    many = np.log(rng.pareto(3.0, size=20_000))
    made, k = smoothed(np.stack([few, many], 1))
    np.testing.assert_array_equal(made[:, 0], few)
    assert np.abs(made[:, 1] - many).max() > 0.01
    assert np.all(np.isfinite(k))
