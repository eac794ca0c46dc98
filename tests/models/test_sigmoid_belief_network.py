"""The sigmoid belief network: its bound by enumeration, its study, and what it refuses."""

from __future__ import annotations

import importlib
import itertools
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jax
import numpy as np
import pytest

from models.common.networks import belief_weights
from models.studies import sigmoid_belief_network as study
from tests.models.refusing import check_refusal

HOSTS = ("numpyro", "pyro")
LATENTS = 3


@pytest.fixture(autouse=True, scope="module")
def single_precision():
    """The precision that the program has outside the tests."""
    with jax.enable_x64(False):
        yield


def tiny_images(count: int = 10) -> np.ndarray:
    return (np.random.default_rng(4).random((count, 6)) < 0.4).astype(np.float32)


def grown(layers: int) -> dict[str, np.ndarray]:
    """Weights at which no two logits are nearly the same."""
    rng, first = np.random.default_rng(0), belief_weights(1, tiny_images(), layers, LATENTS)
    return {name: (w + rng.normal(0, 0.8, w.shape)).astype(np.float32) for name, w in first.items()}


def log_bernoulli(logits: np.ndarray, x: np.ndarray) -> np.ndarray:
    return (x * logits - np.logaddexp(0.0, logits)).sum(-1)


def enumerated(weights: Any, layers: int, images: np.ndarray) -> tuple[Any, Any]:
    """q (n, codes) and log p(x, codes) - log q (n, codes) of each combination's codes."""
    codes = np.array(list(itertools.product((0.0, 1.0), repeat=LATENTS)))
    paths = list(itertools.product(codes, repeat=layers))
    log_q, log_p = np.zeros((2, len(images), len(paths)))
    for j, path in enumerate(paths):
        below = images
        for layer, code in enumerate(path, 1):
            logits = below @ weights[f"infer{layer}.w"] + weights[f"infer{layer}.b"]
            log_q[:, j] += log_bernoulli(logits, code)
            below = np.broadcast_to(code, (len(images), len(code)))
        logits = np.zeros_like(path[-1])
        for layer in range(layers, 0, -1):
            log_p[:, j] += log_bernoulli(logits, path[layer - 1])
            names = f"generate{layer}.w", f"generate{layer}.b"
            logits = path[layer - 1] @ weights[names[0]] + weights[names[1]]
        log_p[:, j] += log_bernoulli(logits, images)
    np.testing.assert_allclose(np.exp(log_q).sum(1), 1.0, rtol=1e-5)
    return np.exp(log_q), log_p - log_q


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize(("name", "layers"), [("straight-through", 1), ("disarm", 2)])
def test_bound_is_the_enumerated_one(
    host: str, name: str, layers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    images, weights = tiny_images(), grown(layers)
    q, value = enumerated(weights, layers, images)
    exact = (q * value).sum(1).mean()
    passes = 400
    # Of a pass: draws are independent between images.
    error = np.sqrt((q * value**2).sum(1) - (q * value).sum(1) ** 2).mean()
    error /= np.sqrt(len(images) * passes)
    program = importlib.import_module(f"models.{host}.sigmoid_belief_network")
    monkeypatch.setattr(program, "belief_weights", lambda *_: weights)
    monkeypatch.setattr(program, "BATCH", 5)
    options = SimpleNamespace(estimator=name, seed=0, exact_kl=True, layers=layers, latents=LATENTS)
    lane = importlib.import_module(f"models.studies.belief_{host}").Lane(options, images, 1)
    if host == "pyro":
        # The parameters come to be in the first run.
        lane.programs[0](lane.images, 5)
        lane.programs[1](lane.images, 5)
    assert abs(lane.bound(images, passes) - exact) < 4.5 * error


def test_hosts_begin_at_the_pixels_means() -> None:
    images = tiny_images()
    weights = belief_weights(2, images, 2, 3)
    probability = 1 / (1 + np.exp(-weights["generate1.b"]))
    np.testing.assert_allclose(probability, (images.sum(0) + 0.5) / 11, rtol=1e-5)
    assert not weights["generate2.b"].any()


@pytest.mark.parametrize(
    "host", [pytest.param("numpyro", marks=pytest.mark.long), pytest.param("pyro")]
)
def test_study(tmp_path: Path, host: str, capsys: pytest.CaptureFixture[str]) -> None:
    names = ["score-average", "straight-through", "disarm"]
    options = ["--backend", host, "--estimator", *names, "--steps", "5", "--latents", "6"]
    options += ["--equal-time", "--passes", "1", "--variance-draws", "5", "--quiet"]
    assert study.main([*options, "--out", str(tmp_path / "out")]) == 0
    assert {p.suffix for p in (tmp_path / "out").iterdir()} == {".png", ".json"}
    table = json.loads((tmp_path / "out" / "metrics.json").read_text())["table"]
    assert list(table) == names
    for row in table.values():
        assert row["steps_in_equal_time"] >= 5
        # Independent pixels reach -207 on these images.
        for bound in (*row["bounds"], *row["bounds_in_equal_time"]):
            assert -222 < bound < -150
    # The slowest decides, so that one of them has no steps to add.
    assert min(row["steps_in_equal_time"] for row in table.values()) == 5
    variance = {name: row["variance"] for name, row in table.items()}
    assert 0 < variance["straight-through"] < variance["disarm"] < variance["score-average"]
    learned = {name: row["each"][0]["learned"] for name, row in table.items()}
    assert learned["disarm"] == {}
    assert list(learned["score-average"]) == ["code1.baseline.average"]
    lines = capsys.readouterr().out.splitlines()
    bounds = [float(line.split()[2]) for line in lines[1:-1]]
    assert bounds == sorted(bounds, reverse=True)


@pytest.mark.long
def test_a_diverged_run_writes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from models.studies import belief_pyro

    monkeypatch.setattr(belief_pyro.SVI, "step", lambda *_: float("nan"))
    options = ["--backend", "pyro", "--estimator", "disarm", "--steps", "2", "--quiet"]
    assert study.main([*options, "--out", str(tmp_path / "out")]) == 1
    assert "not finite at step 1" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "allowed"),
    [
        (["--estimator", "vimco"], "'vimco' is unknown; choose from score, score-average"),
        (["--estimator", "rebar", "rebar"], "'rebar' is repeated"),
        (["--seeds", "1", "1"], "a seed is repeated"),
        (["--variance-draws", "1"], "give 2 or more, or 0"),
        (["--held-out", "5000"], "give 1 to 4999"),
    ],
)
def test_refusals(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], allowed: str
) -> None:
    check_refusal(study, ["--backend", "pyro", *arguments], allowed, tmp_path, capsys)
