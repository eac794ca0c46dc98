"""The Laplace bridge's program: distances and scores against SciPy, and a quick run."""

import json
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from models.common import last_layer as digits
from models.studies import bridges
from models.studies import laplace_bridge as study
from models.studies.simplex import NAMES, distances, grid
from tests.models.refusing import check_refusal

HOSTS = ("numpyro", "pyro")
ALPHA = [2.0, 3.0, 5.0]


@pytest.fixture(scope="module")
def metrics(tmp_path_factory: pytest.TempPathFactory) -> dict:
    out = tmp_path_factory.mktemp("bridge") / "out"
    options = ["--backend", "pyro", "--side", "81", "--scales", "1", "10", "100", "--steps", "150"]
    options += ["--draws", "10", "100", "--exact", "1000", "--repeats", "2", "--quiet"]
    assert study.main([*options, "--out", str(out)]) == 0
    names = sorted(path.name for path in out.iterdir())
    assert names == ["digits.png", "metrics.json", "simplex.png"]
    return json.loads((out / "metrics.json").read_text())


def test_distance_against_monte_carlo() -> None:
    found = []
    for host in HOSTS:
        densities = dict(zip(NAMES, bridges.there_and_back(host, ALPHA), strict=True))
        law = stats.dirichlet(ALPHA)
        x = law.rvs(20_000, np.random.default_rng(0)).clip(1e-12, 1.0)
        x /= x.sum(1, keepdims=True)
        ratio = np.exp(densities[NAMES[1]](x) - law.logpdf(x.T))
        np.testing.assert_allclose(densities[NAMES[0]](x), law.logpdf(x.T), rtol=1e-6, atol=1e-6)
        value = distances(densities, grid(side=161))
        # Half the integral of |f - g| is E_f of what g falls short of f.
        shortfall = np.maximum(0.0, 1.0 - ratio)
        tolerance = 5 * shortfall.std() / np.sqrt(len(x))
        distance = value["total_variation"][NAMES[1]]
        assert distance == pytest.approx(shortfall.mean(), abs=tolerance)
        assert value["total_variation"][NAMES[2]] < 1e-12
        assert all(abs(mass - 1.0) < 1e-4 for mass in value["mass"].values())
        found.append(distance)
    assert found[0] == pytest.approx(found[1], rel=1e-6)


def test_predictives_of_both_hosts_agree() -> None:
    # Gaussians that are the bridge's image of a Dirichlet: the way back has its mean exactly.
    alpha = np.array([[2.0, 3.0, 5.0], [8.0, 4.0, 2.0]], np.float32)
    mean, covariance = np.log(alpha), np.eye(3, dtype=np.float32) / alpha[:, None]
    first, second = (bridges.predictives(host, mean, covariance, (20_000,), 0) for host in HOSTS)
    exact = study.exact_predictive(mean, covariance, 20_000, 1)
    for name, way in first.items():
        probs = way()
        np.testing.assert_allclose(probs.sum(1), 1.0, rtol=1e-4)
        tolerance = 0.015 if "draws" in name else 1e-4
        np.testing.assert_allclose(probs, second[name](), atol=tolerance)
        if "draws" in name:
            np.testing.assert_allclose(probs, exact, atol=0.015)
        if name == "bridge":
            np.testing.assert_allclose(probs, alpha / alpha.sum(1, keepdims=True), rtol=1e-4)


def test_gaussian_of_the_logits_against_draws_of_the_weights() -> None:
    rng = np.random.default_rng(0)
    features, mean = rng.normal(size=(3, 2)), rng.normal(size=6)
    half = rng.normal(size=(6, 6))
    centre, covariance = digits.logit_gaussian(features, mean, half @ half.T)
    each = [np.kron(row[None], np.eye(3)) for row in features]
    np.testing.assert_allclose(centre, [a @ mean for a in each])
    np.testing.assert_allclose(covariance, [a @ half @ half.T @ a.T for a in each])


def test_calibration_by_hand() -> None:
    probs = np.array([[0.95, 0.05], [0.95, 0.05], [0.35, 0.65], [0.25, 0.75]])
    found = digits.scores(probs, np.array([0, 1, 1, 1]))
    assert found["accuracy"] == 0.75
    assert found["ece"] == pytest.approx(0.5 * 0.45 + 0.25 * 0.35 + 0.25 * 0.25)
    assert found["nll"] == pytest.approx(-np.log([0.95, 0.05, 0.65, 0.75]).mean())


def test_quick_run(metrics: dict) -> None:
    for ways in metrics["digits"].values():
        # More draws come nearer to the exact predictive, and cost more.
        assert ways["100 draws"]["mean_error"] < 0.6 * ways["10 draws"]["mean_error"]
        assert ways["bridge"]["milliseconds"] < ways["100 draws"]["milliseconds"]
    assert metrics["digits"]["clean"]["bridge"]["accuracy"] > 0.85
    by_scale = list(metrics["total_variation_of_(0.2,0.3,0.5)_times"].values())
    assert by_scale == sorted(by_scale, reverse=True)


@pytest.mark.parametrize(
    ("arguments", "allowed"),
    [
        (["--prior-scale", "0"], "a finite number above 0"),
        (["--backend", "other"], "'numpyro', 'pyro'"),
        (["--seed", "-1"], "from 0 to"),
    ],
)
def test_refusals(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], allowed: str
) -> None:
    check_refusal(study, arguments, allowed, tmp_path, capsys)
