"""Decoupled straight-through: the inert temperature, the training, and a quick run."""

import importlib
import json
from pathlib import Path
from types import SimpleNamespace

import jax
import numpy as np
import pytest

from models.common.side_by_side import Runs
from models.data import small_digits
from models.studies import decoupled_figures as figures
from models.studies import decoupled_straight_through as study
from models.studies.decoupled_figures import draws
from tests.models.refusing import check_refusal

HOSTS = ("numpyro", "pyro")


@pytest.fixture(autouse=True)
def single_precision():
    """The precision that the program has outside the tests."""
    with jax.enable_x64(False):
        yield


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize("scaled", [False, True])
def test_soft_vectors_belong_to_the_values(host, scaled: bool) -> None:
    hard, soft, probs = draws(host, study.LOGITS, (0.5, 2.0), scaled, 4000, 0)
    np.testing.assert_array_equal(hard.argmax(1), soft.argmax(1))
    weight = np.exp(study.LOGITS / (0.5 if scaled else 1.0))
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
@pytest.mark.parametrize("host", ["numpyro", "pyro"])
def test_runs_side_by_side_train(host: str) -> None:
    program = importlib.import_module(f"models.{host}.decoupled_straight_through")
    images, runs = small_digits(), Runs([(1.0, 1.0), (0.5, 1.0)], [3])
    ends = []
    for steps in (1, 80):
        options = SimpleNamespace(steps=steps, learning_rate=0.03, seed=0, quiet=True)
        trained = program.train(options, runs, images.train)
        ends.append(program.judge(options, *trained, images.validation[:100]))
    assert ends[0].shape == (2,)
    assert (ends[1] < ends[0] - 10.0).all()


def test_quick_run(tmp_path: Path) -> None:
    options = ["--backend", "pyro", "--quiet", "--draws", "2000", "--steps", "30", "--seeds", "1"]
    options += ["--temperatures", "0.5", "1", "--fresh", "2"]
    assert study.main([*options, "--out", str(tmp_path / "out")]) == 0
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    inert, acting = (metrics["grid"][form] for form in study.FORMS)
    for key, table in inert.items():
        np.testing.assert_array_equal(table[0], table[1], err_msg=key)
    assert acting["entropy"][0][0] < acting["entropy"][1][0]
    # At a forward temperature of 1 the two forms are one.
    assert inert["gap"][1] == acting["gap"][1]
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["grid.png", "metrics.json", "sharpness.png", "training.png"]


def test_refusal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    check_refusal(study, ["--draws", "0"], "a whole number of at least 1", tmp_path, capsys)
