"""Subset selection: the selections, what both laws learn on both hosts, and a quick run."""

import importlib
import json
from pathlib import Path
from types import SimpleNamespace

import jax
import numpy as np
import pytest

from models.data import Splits
from models.data import split_digits as split
from models.studies import subset_selection as study
from models.studies.subset_selection import by_mutual_information
from tests.models.refusing import check_refusal


@pytest.fixture(autouse=True)
def single_precision():
    """The precision that the program has outside the tests."""
    with jax.enable_x64(False):
        yield


def redundant() -> Splits:
    """Four classes told by two bits, pixels 0 and 5; copies of the first at 1, 2, 3; noise.

    The second bit is flipped now and then, so that each copy of the first tells more than it.
    """
    rng = np.random.default_rng(0)
    bits = rng.integers(0, 2, (2, 400, 2))
    x = rng.integers(0, 2, (2, 400, 8)).astype(np.float32)
    x[..., :4] = bits[..., :1]
    x[..., 5] = np.where(rng.random((2, 400)) < 0.1, 1 - bits[..., 1], bits[..., 1])
    labels = bits @ np.array([2, 1])
    return Splits(x, labels, x, labels)


@pytest.mark.long
@pytest.mark.parametrize("law", study.TRAINED)
@pytest.mark.parametrize("host", ["numpyro", "pyro"])
def test_a_trained_subset_has_no_copies(host: str, law: str) -> None:
    splits, program = redundant(), importlib.import_module(f"models.{host}.subset_selection")
    settings = {"k": 2, "temperature": 0.5, "subsets": 8, "steps": 300, "learning_rate": 0.05}
    options = SimpleNamespace(**settings, law=law, seed=0, quiet=True)
    best = program.best(program.train(options, splits)[2], 2)
    for run in range(2):
        chosen = set(best[run].tolist())
        assert 5 in chosen
        assert chosen & {0, 1, 2, 3}
        assert 5 not in by_mutual_information(splits, 2)[run]


def test_splits_do_not_overlap_and_differ() -> None:
    splits = split(3, 2, 4000, 1000)
    assert splits.train.shape == (2, 4000, 784)
    assert splits.test.shape == (2, 1000, 784)
    assert set(np.unique(splits.train)) == {0.0, 1.0}
    assert not np.array_equal(splits.test[0], splits.test[1])
    # Every image is in one part or the other.
    parts = np.concatenate([splits.train, splits.test], axis=1).sum(-1)
    np.testing.assert_array_equal(np.sort(parts[0]), np.sort(parts[1]))


def test_quick_run(tmp_path: Path) -> None:
    options = ["--backend", "pyro", "--quiet", "--k", "10", "--steps", "30", "--runs", "1"]
    options += ["--images", "500", "--held-out", "200", "--subsets", "4"]
    assert study.main([*options, "--out", str(tmp_path / "out")]) == 0
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    for pixels in metrics["pixels_of_first_run"].values():
        assert len(set(pixels)) == 10
    accuracy = metrics["test_accuracy"]
    assert accuracy["mutual information"]["network"][0] > 0.25
    assert min(accuracy[law]["network"][0] for law in study.TRAINED) > 0.2
    assert (tmp_path / "out" / "pixels.png").exists()


@pytest.mark.parametrize(
    ("arguments", "allowed"),
    [
        (["--k", "785"], "785 is not allowed; 1 to 784"),
        (["--k", "0"], "a whole number of at least 1"),
        (["--temperature", "0"], "above 0"),
    ],
)
def test_refusals(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], allowed: str
) -> None:
    check_refusal(study, arguments, allowed, tmp_path, capsys)
