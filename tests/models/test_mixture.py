"""The mixture: its truths against quadrature, and what each method finds."""

import json
import time
from pathlib import Path

import jax
import numpy as np
import pytest
from scipy import integrate, stats

from models.data import petal_lengths
from models.studies import mixture
from models.studies import mixture_truth as truth
from tests.models.refusing import check_refusal


@pytest.fixture(autouse=True)
def single_precision():
    """The precision that the program has outside the tests."""
    with jax.enable_x64(False):
        yield


def test_evidence_against_quadrature() -> None:
    y = petal_lengths()[[0, 5, 7]]
    axis = np.linspace(-3.0, 11.0, 141)
    prior = stats.norm.pdf(axis[:, None], truth.PRIOR, 1.0)
    like = stats.norm.pdf(y[:, None], axis, truth.SCALE)
    mix = like[:, :, None, None] + like[:, None, :, None] + like[:, None, None, :]
    joint = np.prod(mix / truth.COMPONENTS, axis=0) * np.einsum("a,b,c->abc", *prior.T)
    total = joint
    for _ in range(3):
        total = integrate.trapezoid(total, axis)
    answer = truth.exact(y, 4000, np.random.default_rng(0))
    assert answer.bound == pytest.approx(np.log(total), abs=1e-6)
    marginal = integrate.trapezoid(integrate.trapezoid(joint, axis), axis)
    mean = integrate.trapezoid(marginal * axis, axis) / total
    assert answer.loc[:, 0].mean() == pytest.approx(mean, abs=0.06)
    share = np.stack([(answer.assignment == k).mean(0) for k in range(3)], -1)
    np.testing.assert_allclose(share, answer.probs, atol=0.04)


def test_bounds_are_ordered_and_the_best_is_stationary() -> None:
    y, rng = petal_lengths(), np.random.default_rng(0)
    exact, best = truth.exact(y, 100, rng), truth.best_factorised(y, 100, rng)
    assert best.bound < exact.bound
    spread = np.full(3, 0.4)
    for _ in range(20):
        logits = np.log(best.probs + 1e-12) + 0.1 * rng.normal(size=best.probs.shape)
        probs = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
        mean = best.loc.mean(0) + 0.1 * rng.normal(size=3)
        assert truth.bound(y, mean, spread, probs) < best.bound


def test_the_study_keeps_its_runs(tmp_path: Path) -> None:
    methods = ["straight-through", "summed"]
    options = ["--backend", "pyro", "--quiet", "--steps", "120", "--learning-rate", "0.1"]
    options += ["--keep", str(tmp_path / "kept.json"), "--method", *methods]
    begun = time.perf_counter()
    for turn in range(2):
        assert mixture.main([*options, "--out", str(tmp_path / "out")]) == 0
        if turn == 0:
            seconds, begun = time.perf_counter() - begun, time.perf_counter()
    assert time.perf_counter() - begun < 0.5 * seconds
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    rows = metrics["answers"]
    assert list(rows) == [mixture.TRUTH, mixture.BEST, *methods]
    for row in rows.values():
        # Two thousand draws blur the bound of the guide of the means a little.
        assert row["bound"] <= rows["truth"]["bound"] + 0.1
        np.testing.assert_allclose(np.sum(row["probs"], 1), 1.0, rtol=1e-4)
    # Summing the groups out can only tighten the bound.
    assert rows["summed"]["bound"] > rows[mixture.BEST]["bound"]
    assert rows["summed"]["distance_from_truth"] < rows[mixture.BEST]["distance_from_truth"]
    assert (tmp_path / "out" / "answers.png").exists()


def test_refusal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    check_refusal(
        mixture,
        ["--method", "magic"],
        "'magic' is unknown; choose from relaxed, straight-through",
        tmp_path,
        capsys,
    )
