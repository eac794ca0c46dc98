"""The study of ReinMax, Gumbel-Rao and straight-through: choice, intervals and one small run."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from models.studies import reinmax_grid as study


def test_the_temperature_is_chosen_apart_from_what_is_reported() -> None:
    rng = np.random.default_rng(0)
    runs = {}
    for method in study.TRAINED:
        shape = len(study.LAWS[method][1]), 3
        names = ("training", "choice", "held out")
        runs[f"4x24, {method}"] = {n: rng.normal(size=shape).tolist() for n in names}
    found = study.chosen_runs(runs, ["4x24"])
    for method in study.TRAINED:
        run, row = runs[f"4x24, {method}"], found[f"4x24, {method}"]
        best = np.mean(run["choice"], 1).argmax()
        assert row["temperature"] == study.LAWS[method][1][best]
        at = run["held out"][best]
        low, high = stats.t.interval(0.95, 2, np.mean(at), stats.sem(at))
        assert row["held out"] == pytest.approx((low + high) / 2)
        assert row["held out, half width"] == pytest.approx((high - low) / 2)
    biases = {m: [[0.1, 0.2]] * len(t) for m, (_, t) in study.LAWS.items()}
    lines = study.table(found, biases, ["4x24"])
    assert sum(line.startswith("| ReinMax |") for line in lines) == 2 + len(biases["ReinMax"])


@pytest.mark.long
def test_a_run_goes_on_where_it_was(tmp_path: Path) -> None:
    arguments = ["--sizes", "8x4", "--steps", "2", "--seeds", "2", "--quiet"]
    arguments += ["--keep", str(tmp_path / "kept.json"), "--out", str(tmp_path / "out")]
    assert study.main(arguments) == 0
    first = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert study.main(arguments) == 0
    again = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert first["chosen"] == again["chosen"]
    for method in study.TRAINED:
        assert -80 < first["chosen"][f"8x4, {method}"]["held out"] < 0
    # The decoupled class is straight-through by another name.
    assert first["bias"]["decoupled"] == first["bias"]["straight-through"]
