"""Canvases of digits: no two overlap, and images are read and drawn where they should be."""

import json
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
import torch

from models.canvases import GLIMPSE, SIDE, Canvases, in_box, load_canvases, on_canvas, places
from models.numpyro.attend_infer_repeat import interpolate as on_numpyro
from models.pyro.attend_infer_repeat import interpolate as on_pyro
from models.studies import attend_infer_repeat as study


def test_canvases_are_the_same_every_time_and_digits_do_not_overlap() -> None:
    first, again = load_canvases(40, 20), load_canvases(40, 20)
    np.testing.assert_array_equal(first.train, again.train)
    assert first.test.shape == (20, SIDE, SIDE)
    assert first.test.min() >= 0.0
    assert first.test.max() <= 1.0
    np.testing.assert_array_equal(first.test.any((1, 2)), first.test_counts > 0)
    rng = np.random.default_rng(0)
    for _ in range(50):
        sizes, corners = places(rng, 2)
        covered = np.zeros((SIDE, SIDE))
        for size, (top, left) in zip(sizes, corners, strict=True):
            covered[top : top + size, left : left + size] += 1
        assert covered.max() == 1
        assert covered.sum() == (sizes**2).sum()


def test_a_glimpse_is_what_torch_samples() -> None:
    rng = np.random.default_rng(0)
    canvas, where = rng.random((3, SIDE, SIDE)), rng.standard_normal((3, 3))
    at = on_canvas(where[..., None], np.arange(GLIMPSE))
    with jax.enable_x64():
        seen = np.asarray(on_numpyro(canvas, at))
    np.testing.assert_allclose(on_pyro(torch.tensor(canvas), torch.tensor(at)), seen, atol=1e-6)
    # torch counts from -1 to 1 between the outer edges of a canvas, across before down.
    down, across = np.moveaxis((2 * at + 1) / SIDE - 1, 1, 0)
    grid = np.stack(np.broadcast_arrays(across[:, None, :], down[:, :, None]), -1)
    sampled = torch.nn.functional.grid_sample(
        torch.tensor(canvas)[:, None], torch.tensor(grid), align_corners=False
    )
    np.testing.assert_allclose(seen, sampled[:, 0], atol=1e-5)


def test_what_is_drawn_in_a_box_is_read_from_it() -> None:
    where = np.array([0.0, 0.3, -0.3])[:, None]
    pixels = np.arange(SIDE)
    np.testing.assert_allclose(on_canvas(where, in_box(where, pixels))[0], pixels, atol=1e-9)
    # Ten pixels wide in the middle: the box's edges are the outer edges of its first and last.
    middle = in_box(np.zeros((3, 1)), pixels)
    np.testing.assert_allclose(middle[0, [7, 16]], [0.0, GLIMPSE - 1], atol=1e-9)


def test_the_study_averages_over_seeds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def judged(options: Any, method: str, data: Canvases) -> Any:
        # Seed k miscounts k of ten canvases in both of its draws.
        wrong = np.arange(10) < np.arange(3)[:, None]
        return lambda seed: (np.stack(2 * [data.test_counts + wrong[seed]]), -10.0 * seed)

    monkeypatch.setattr(study, "judged", judged)
    monkeypatch.setattr(study, "load_canvases", lambda: load_canvases(1, 10))
    options = ["--backend", "pyro", "--method", "host", "--out", str(tmp_path / "out")]
    assert study.main(options) == 0
    (row,) = json.loads((tmp_path / "out" / "metrics.json").read_text())["methods"].values()
    assert [run["counted_right"] for run in row["runs"]] == [1.0, 0.9, 0.8]
    # Half the width of Student's interval for -10, 0 and 10.
    assert row["bound"] == {"mean": -10.0, "half_width": pytest.approx(24.84, abs=0.01)}
