"""The sigmoid belief network: runs on both hosts, files, bounds and variances by enumeration."""

import dataclasses
import itertools
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jax
import numpy as np
import pytest
from matplotlib.image import imread

from models.data import Digits
from models.sigmoid_belief_network import cli, numpyro_model, pyro_model, report, table
from models.sigmoid_belief_network.estimators import ALL, choose
from models.sigmoid_belief_network.report import FILES
from models.sigmoid_belief_network.result import Settings, initial_weights

HOSTS = {"numpyro": numpyro_model, "pyro": pyro_model}
TINY = Settings(
    latents=3,
    steps=4,
    batch_size=1,
    learning_rate=1e-2,
    variance_images=5,
    variance_draws=300,
    variance_steps=60,
    progress=False,
)


@pytest.fixture(autouse=True, scope="module")
def single_precision():
    """The precision that the program has outside the tests."""
    with jax.enable_x64(False):
        yield


def run(out: Path, *options: str) -> dict[str, Any]:
    """Run the program in quick mode and return its metrics."""
    assert cli.main(["--quick", *options, "--quiet", "--out", str(out)]) == 0
    assert sorted(path.name for path in out.iterdir()) == sorted(FILES)
    for name in FILES[:-1]:
        picture = imread(out / name)
        assert min(picture.shape[:2]) > 100
        assert picture[..., 0].std() > 0.1
    return json.loads((out / "metrics.json").read_text())


@pytest.mark.long
def test_numpyro_run_at_equal_steps_and_equal_time(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = ["score-average", "disarm"]
    options = ["--estimator", *names, "--steps", "100", "--latents", "6", "--equal-time"]
    metrics = run(tmp_path / "out", *options, "--learning-rate", "0.01")
    assert list(metrics["table"]) == names
    assert [(row["estimator"], row["seed"]) for row in metrics["rows"]] == [(n, 0) for n in names]
    for row in metrics["rows"]:
        assert row["at_steps"]["steps"] == 100
        assert row["at_seconds"]["steps"] >= 100
        # Independent pixels reach -207 on these images.
        for moment in ("at_steps", "at_seconds"):
            for bound in ("training_bound", "discrete_test_bound"):
                assert -206 < row[moment][bound] < -150
    # The slowest decides, so that one of them has no steps to add.
    assert min(row["at_seconds"]["steps"] for row in metrics["rows"]) == 100
    learned = {row["estimator"]: row["learned"] for row in metrics["rows"]}
    assert learned["disarm"] == {}
    assert list(learned["score-average"]) == ["code1.baseline.average"]
    variance = {name: row["gradient_variance"] for name, row in metrics["table"].items()}
    assert 0 < variance["disarm"] < variance["score-average"]
    assert "--estimator score-average disarm --steps 100" in metrics["command"]
    printed = capsys.readouterr().out
    for name in names:
        bound = metrics["table"][name]["at_steps"]["training_bound"]
        (line,) = [line for line in printed.splitlines() if line.startswith(name + " ")]
        assert f"{bound:.2f}" in line
        assert "exact" in line


@pytest.mark.long
def test_pyro_run_of_every_estimator_on_two_layers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--backend", "pyro", "--estimator", "all", "--layers", "2", "--hidden", "7"]
    options += ["--steps", "4", "--latents", "5", "--seconds", "0.001", "--passes", "1"]
    options += ["--variance-draws", "3"]
    metrics = run(tmp_path / "out", *options, "--seed", "3")
    assert set(metrics["table"]) == set(ALL)
    assert metrics["seeds"] == [3]
    for name, row in metrics["table"].items():
        assert row["kl"] == ("sampled" if name == "tracegraph" else "exact")
        assert np.isfinite(row["at_steps"]["training_bound"])
        assert row["at_seconds"]["steps"] < 10
        assert row["gradient_variance"] > 0
    learned = {row["estimator"]: set(row["learned"]) for row in metrics["rows"]}
    ends = ("temperature", "eta")
    assert learned["rebar"] == {f"code{k}.estimator.{end}" for k in (1, 2) for end in ends}
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 + len(ALL) + 1
    bounds = [float(line.split()[2]) for line in lines[2:-1]]
    assert bounds == sorted(bounds, reverse=True)


def test_a_diverged_run_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--quick", "--backend", "pyro", "--learning-rate", "1e30", "--quiet"]
    assert cli.main([*options, "--out", str(tmp_path / "out")]) == 1
    line = capsys.readouterr().err
    assert line.count("\n") == 1
    assert "--learning-rate" in line
    assert list(tmp_path.iterdir()) == []


# The bound and the variance of a tiny network by enumeration, in NumPy alone.


def tiny_images(count: int = 10) -> np.ndarray:
    return (np.random.default_rng(4).random((count, 6)) < 0.4).astype(np.float32)


def grown(weights: dict[str, dict[str, np.ndarray]]) -> dict[str, dict[str, np.ndarray]]:
    """Weights at which no two logits are nearly the same."""
    rng = np.random.default_rng(0)
    return {
        name: {key: (w + rng.normal(0, 0.8, w.shape)).astype(np.float32) for key, w in net.items()}
        for name, net in weights.items()
    }


def log_bernoulli(logits: np.ndarray, x: np.ndarray) -> np.ndarray:
    return (x * logits - np.logaddexp(0.0, logits)).sum(-1)


def apply(weights: dict[str, np.ndarray], x: np.ndarray) -> np.ndarray:
    first = x @ weights["w1"] + weights["b1"]
    return np.tanh(first) @ weights["w2"] + weights["b2"] if "w2" in weights else first


def enumerated(weights: Any, layers: int, images: np.ndarray) -> tuple[Any, Any, Any]:
    """q (n, codes), log p(x, codes) - log q (n, codes) and each combination's codes."""
    codes = np.array(list(itertools.product((0.0, 1.0), repeat=TINY.latents)))
    paths = list(itertools.product(codes, repeat=layers))
    log_q, log_p = np.zeros((2, len(images), len(paths)))
    for j, path in enumerate(paths):
        below = images
        for layer, code in enumerate(path, 1):
            log_q[:, j] += log_bernoulli(apply(weights[f"infer{layer}"], below), code)
            below = np.broadcast_to(code, (len(images), len(code)))
        logits = np.zeros_like(path[-1])
        for layer in range(layers, 0, -1):
            log_p[:, j] += log_bernoulli(logits, path[layer - 1])
            logits = apply(weights[f"generate{layer}"], path[layer - 1])
        log_p[:, j] += log_bernoulli(logits, images)
    np.testing.assert_allclose(np.exp(log_q).sum(1), 1.0, rtol=1e-5)
    return np.exp(log_q), log_p - log_q, paths


def trainer_at(host: str, name: str, weights: Any, settings: Settings, monkeypatch: Any) -> Any:
    """A trainer that begins at given weights."""
    module = HOSTS[host]
    monkeypatch.setattr(module, "initial_weights", lambda *_: weights)
    (choice,) = choose([name], True, None, None)
    return module.Trainer(tiny_images(), choice, settings, 0)


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize(
    ("name", "layers", "hidden"), [("straight-through", 1, 0), ("disarm", 2, 4)]
)
def test_bound_is_the_enumerated_one(
    host: str, name: str, layers: int, hidden: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(layers, TINY.latents, hidden, batch_size=5)
    images = tiny_images()
    weights = grown(initial_weights(1, images, settings))
    q, value, _ = enumerated(weights, layers, images)
    exact = (q * value).sum(1).mean()
    passes = 600
    # Of a pass: draws are independent between images.
    error = np.sqrt((q * value**2).sum(1) - (q * value).sum(1) ** 2).mean()
    error /= np.sqrt(len(images) * passes)
    assert error < 0.03
    trainer = trainer_at(host, name, weights, settings, monkeypatch)
    assert abs(trainer.bound(images, passes) - exact) < 4.5 * error


@pytest.mark.parametrize("host", HOSTS)
def test_variance_is_the_enumerated_one(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    images = tiny_images()[: TINY.variance_images]
    weights = grown(initial_weights(1, tiny_images(), TINY))
    q, _, paths = enumerated(weights, 1, images)
    codes = np.array([path[0] for path in paths])
    reward = log_bernoulli(apply(weights["generate1"], codes)[None], images[:, None])
    score = codes - 1 / (1 + np.exp(-apply(weights["infer1"], images)))[:, None]

    def variance(baseline: float) -> float:
        gradient = (reward - baseline)[..., None] * score
        mean = (q[..., None] * gradient).sum(1)
        return ((q[..., None] * gradient**2).sum(1) - mean**2).sum(-1).mean()

    found = trainer_at(host, "score", weights, TINY, monkeypatch).variance(weights)
    assert found == pytest.approx(variance(0.0), rel=0.15)
    # The average settles at the costs' mean, however large a plate's scale makes them.
    trainer = trainer_at(host, "score-average", weights, TINY, monkeypatch)
    everything = enumerated(weights, 1, tiny_images())
    all_rewards = log_bernoulli(apply(weights["generate1"], codes)[None], tiny_images()[:, None])
    expected = variance((everything[0] * all_rewards).sum(1).mean())
    before = trainer.trained(), trainer.learned()
    assert expected < 0.5 * variance(0.0)
    assert trainer.variance(weights) == pytest.approx(expected, rel=0.25)
    jax.tree.map(np.testing.assert_array_equal, (trainer.trained(), trainer.learned()), before)


def test_pyro_trainers_that_take_turns_do_not_touch_each_other() -> None:
    choices = choose(["score-average", "rebar-fixed"], True, None, None)

    def trainer(choice: Any) -> Any:
        return pyro_model.Trainer(tiny_images(), choice, TINY, 5)

    alone = [one.advance(4) for one in map(trainer, choices)]
    pair = [trainer(choice) for choice in choices]
    turns = [[one.advance(2) for one in pair] for _ in range(2)]
    together = [np.concatenate(one) for one in zip(*turns, strict=True)]
    np.testing.assert_allclose(together, alone, rtol=1e-6)
    assert not np.allclose(*alone)


def test_hosts_begin_at_the_pixels_means() -> None:
    images = tiny_images()
    weights = initial_weights(2, images, Settings(2, 3, 4))
    probability = 1 / (1 + np.exp(-weights["generate1"]["b2"]))
    np.testing.assert_allclose(probability, (images.sum(0) + 0.5) / 11, rtol=1e-5)
    assert not weights["generate2"]["b2"].any()
    (choice,) = choose(["disarm"], True, None, None)
    for module in HOSTS.values():
        found = module.Trainer(images, choice, Settings(2, 3, 4, batch_size=5), 2).trained()
        jax.tree.map(np.testing.assert_array_equal, found, weights)


class Clockwork:
    """A trainer whose steps take a known time on a clock of its own."""

    now = 0.0

    def __init__(self, images: Any, choice: Any, settings: Any, seed: int) -> None:
        self.pace = {"disarm": 1.0, "rebar": 3.0}[choice.name]
        self.done = 0

    def advance(self, steps: int) -> np.ndarray:
        compiling = 100.0 if self.done == 0 else 0.0
        Clockwork.now += compiling + steps * self.pace
        self.done += steps
        return np.full(steps, -float(self.done))

    def bound(self, images: np.ndarray, passes: int) -> float:
        Clockwork.now += 1000.0
        return float(self.done + 0.5 * (len(images) == 2))

    def trained(self) -> Any:
        return self.pace, self.done

    def variance(self, weights: Any) -> Any:
        return weights

    def learned(self) -> dict[str, float]:
        return {}


@pytest.mark.parametrize(
    ("seconds", "equal_time", "steps", "passed"),
    [
        (None, False, None, None),
        (None, True, (12, 36), 36.0),
        (60.0, False, (20, 60), 60.0),
        (17.0, False, (6, 18), 18.0),
    ],
)
def test_equal_steps_and_equal_time(
    seconds: float | None,
    equal_time: bool,
    steps: tuple[int, int] | None,
    passed: float | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(table, "time", SimpleNamespace(perf_counter=lambda: Clockwork.now))
    digits = Digits(np.zeros((3, 1)), np.zeros((2, 1)), np.zeros(3), np.zeros(2), "")
    choices = choose(["rebar", "disarm"], True, None, None)
    settings = Settings(steps=12, progress=False)
    rows = table.run_table(digits, choices, [7], settings, Clockwork, 2, seconds, equal_time)
    assert [row.estimator for row in rows] == ["rebar", "disarm"]
    for index, row in enumerate(rows):
        assert row.step_seconds == (3.0, 1.0)[index]
        assert (row.at_steps.steps, row.at_steps.train_bound) == (12, 12.0)
        assert row.at_steps.test_bound == 12.5
        # Both at the point that REBAR reached at its steps, not later.
        assert row.variance == (3.0, 12)
        if steps is None:
            assert row.at_seconds is None
            continue
        there = row.at_seconds
        assert there is not None
        assert (there.steps, there.train_bound) == (steps[index], steps[index])
        assert there.seconds == passed
        assert len(row.losses) == max(12, steps[index])


def test_seeds_are_averaged(monkeypatch: pytest.MonkeyPatch) -> None:
    digits = Digits(np.zeros((3, 1)), np.zeros((2, 1)), np.zeros(3), np.zeros(2), "")
    choices = choose(["disarm"], True, None, None)
    monkeypatch.setattr(Clockwork, "variance", lambda self, weights: 5.0)
    monkeypatch.setattr(Clockwork, "bound", lambda self, images, passes: self.seed - 9.0)
    start = Clockwork.__init__

    def seeded(self: Any, *given: Any) -> None:
        start(self, *given)
        self.seed = given[-1]

    monkeypatch.setattr(Clockwork, "__init__", seeded)
    settings = Settings(steps=12, progress=False)
    unmeasured = dataclasses.replace(settings, variance_draws=0)
    assert table.run_table(digits, choices, [1], unmeasured, Clockwork, 2)[0].variance is None
    rows = table.run_table(digits, choices, [1, 4], settings, Clockwork, 2)
    (found,) = report.summarise({}, digits, choices, rows)["table"].values()
    assert found["at_steps"]["training_bound"] == -6.5
    assert found["training_bound_spread"] == pytest.approx(np.std([-8.0, -5.0], ddof=1))
    # Only the first seed has a variance, and without --seconds nothing is known of them.
    assert (found["gradient_variance"], found["at_seconds"], found["seeds"]) == (5.0, None, 2)
