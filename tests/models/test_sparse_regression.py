"""Sparse regression: how support is scored, gates on both hosts, and a quick run."""

import json
from pathlib import Path

import jax
import numpy as np
import pytest

from models.data import simulate_regressions as simulate
from models.numpyro.sparse_regression import GATES
from models.studies import sparse_regression as study
from models.studies.sparse_regression import score
from tests.models.refusing import check_refusal


@pytest.fixture(autouse=True)
def single_precision():
    """The precision that the program has outside the tests."""
    with jax.enable_x64(False):
        yield


def test_simulated_features_correlate_as_asked() -> None:
    problems = simulate(0, 1, 20_000, 6, 2, 0.8)
    distance = np.abs(np.subtract.outer(np.arange(6), np.arange(6)))
    found = np.corrcoef(problems.features[0].T)
    np.testing.assert_allclose(found, 0.8**distance, atol=0.03)
    assert problems.relevant.sum() == 2
    factor = problems.correlation_factor()[0]
    np.testing.assert_allclose((factor**2).sum(1), 1.0, rtol=1e-5)
    again = simulate(0, 2, 20_000, 6, 2, 0.8)
    np.testing.assert_array_equal(problems.features[0], again.features[0])


def test_scores_by_hand() -> None:
    relevant = np.array([[1, 1, 0, 0], [1, 0, 0, 0]], bool)
    found = score(np.array([[1, 0, 1, 1], [0, 0, 0, 0]], bool), relevant)
    np.testing.assert_allclose(found["precision"], [1 / 3, 0])
    np.testing.assert_allclose(found["recall"], [1 / 2, 0])
    np.testing.assert_allclose(found["f1"], [2 / 5, 0])


@pytest.mark.long
@pytest.mark.parametrize("host", ["numpyro", "pyro"])
def test_gates_beat_the_lasso(host: str, tmp_path: Path) -> None:
    options = ["--features", "30", "--relevant", "5", "--learning-rate", "0.03", "--steps", "400"]
    options += ["--backend", host, "--runs", "4", "--correlation", "0.8", "--quiet"]
    assert study.main([*options, "--out", str(tmp_path / "out")]) == 0
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    rows = metrics["by_correlation"]["0.8"]
    assert rows["LassoCV"]["recall"] > 0.8
    for kind in GATES:
        assert rows[kind]["f1"] > rows["LassoCV"]["f1"]
    assert (tmp_path / "out" / "recovery.png").exists()


@pytest.mark.parametrize(
    ("arguments", "allowed"),
    [
        (["--correlation", "1.0"], "from 0 to below 1"),
        (["--correlation", "much"], "from 0 to below 1"),
        (["--relevant", "51"], "51 is not allowed; 1 to 50"),
        (["--observations", "5"], "10 or more"),
        (["--penalty", "0"], "above 0"),
    ],
)
def test_refusals(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], allowed: str
) -> None:
    check_refusal(study, arguments, allowed, tmp_path, capsys)
