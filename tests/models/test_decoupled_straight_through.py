"""Decoupled straight-through: the inert temperature, the training, and a quick run."""

import json
from pathlib import Path

import jax
import numpy as np
import pytest

from models.decoupled_straight_through import cli, figures, numpyro_model, pyro_model
from models.decoupled_straight_through.task import Runs, load
from tests.models.refusing import check_refusal

HOSTS = (numpyro_model, pyro_model)


@pytest.fixture(autouse=True)
def single_precision():
    """The precision that the program has outside the tests."""
    with jax.enable_x64(False):
        yield


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize("scaled", [False, True])
def test_soft_vectors_belong_to_the_values(host, scaled: bool) -> None:
    hard, soft, probs = host.draws(cli.LOGITS, (0.5, 2.0), scaled, 4000, 0)
    np.testing.assert_array_equal(hard.argmax(1), soft.argmax(1))
    weight = np.exp(cli.LOGITS / (0.5 if scaled else 1.0))
    np.testing.assert_allclose(probs, weight / weight.sum(), rtol=1e-4)
    error = np.sqrt(probs * (1 - probs) / 4000)
    assert (np.abs(hard.mean(0) - probs) < 5 * error).all()


def test_statistics_by_hand() -> None:
    hard = np.array([[1.0, 0.0], [0.0, 1.0]])
    soft = np.array([[0.8, 0.2], [0.4, 0.6]])
    found = figures.statistics(hard, soft, np.array([0.5, 0.5]))
    assert found["entropy"] == pytest.approx(np.log(2.0))
    assert found["variance"] == pytest.approx(2 * 0.04)
    assert found["max_probability"] == pytest.approx(0.7)
    assert found["gap"] == pytest.approx(0.3)


@pytest.mark.long
@pytest.mark.parametrize("host", HOSTS)
def test_runs_side_by_side_train(host) -> None:
    images = load()
    runs = Runs([(1.0, 1.0), (0.5, 1.0)], [3])
    rest = 0.03, 0, False
    begun = host.train(runs, images.train, images.validation[:100], 1, *rest)
    found = host.train(runs, images.train, images.validation[:100], 80, *rest)
    assert found.shape == (2, 1)
    assert (found < begun - 10.0).all()


def test_quick_run(tmp_path: Path) -> None:
    options = ["--backend", "pyro", "--quick", "--quiet", "--draws", "2000", "--steps", "30"]
    assert cli.main([*options, "--out", str(tmp_path / "out")]) == 0
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    inert, acting = (metrics["grid"][form] for form in cli.FORMS)
    for key, table in inert.items():
        np.testing.assert_array_equal(table[0], table[1], err_msg=key)
    assert acting["entropy"][0][0] < acting["entropy"][1][0]
    # At a forward temperature of 1 the two forms are one.
    assert inert["gap"][1] == acting["gap"][1]
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["grid.png", "metrics.json", "sharpness.png", "training.png"]


def test_refusal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    check_refusal(cli, ["--draws", "0"], "a whole number of at least 1", tmp_path, capsys)
