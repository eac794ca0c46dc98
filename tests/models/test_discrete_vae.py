"""The discrete VAE: its runs on both hosts, its files, and its bound against enumeration."""

import itertools
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
import torch
from matplotlib.image import imread

import relaxppl.numpyro
import relaxppl.pyro
from models.common.cli import RunFailedError
from models.common.progress import train_with_progress
from models.data import baseline_bound, load_digits
from models.discrete_vae import cli, latents, numpyro_model, pyro_model
from models.discrete_vae.latents import LAWS, LatentKind, Latents, bind
from models.discrete_vae.report import FILES
from models.discrete_vae.result import Settings, initial_weights
from tests.models import test_discrete_vae_table as table_tests

HOSTS = ("numpyro", "pyro")


@pytest.fixture(autouse=True, scope="module")
def single_precision():
    """The precision that the program has outside the tests."""
    with jax.enable_x64(False):
        yield


def run(out: Path, *options: str) -> dict[str, Any]:
    """Run the program and return its metrics."""
    assert cli.main([*options, "--quiet", "--out", str(out)]) == 0
    return json.loads((out / "metrics.json").read_text())


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, dict[str, Any]]]:
    """A run on each host that is long enough to see that it learns."""
    out = tmp_path_factory.mktemp("trained")
    options = ["--latent", "categorical", "--steps", "300", "--learning-rate", "0.01"]
    return out, {host: run(out / host, "--backend", host, *options) for host in HOSTS}


@pytest.mark.long
def test_discrete_bound_clears_the_baseline_and_the_hosts_agree(tmp_path: Path) -> None:
    options = ["--latent", "categorical", "--steps", "900", "--learning-rate", "0.003"]
    metrics = {host: run(tmp_path / host, "--backend", host, *options) for host in HOSTS}
    for found in metrics.values():
        assert found["gain_over_baseline"] > 60.0
        assert found["discrete_test_bound"] - found["baseline_test_bound"] == pytest.approx(
            found["gain_over_baseline"]
        )
        # Straight-through trains the discrete model itself: training images fare better.
        assert found["discrete_test_bound"] < found["training_bound"] < 0
    first, second = (metrics[host]["discrete_test_bound"] for host in HOSTS)
    assert abs(first - second) < 3.0


def test_files_of_a_run(trained: Any) -> None:
    out, metrics = trained
    for host in HOSTS:
        assert sorted(p.name for p in (out / host).iterdir()) == sorted(FILES)
        for name in ("reconstructions.png", "samples.png", "loss.png"):
            picture = imread(out / host / name)
            assert min(picture.shape[:2]) > 200
            assert picture[..., 0].std() > 0.1
        assert metrics[host]["steps"] == 300
        assert metrics[host]["median_step_ms"] > 0
        assert "--latent categorical --steps 300" in metrics[host]["command"]
        assert metrics[host]["versions"]["relaxppl"] == relaxppl.__version__


def test_posterior_opens_in_arviz(trained: Any) -> None:
    import arviz

    out, _ = trained
    digits = load_digits()
    for host in HOSTS:
        data = arviz.from_netcdf(out / host / "posterior.nc")
        code = data["posterior"]["code"]
        assert code.dims == ("chain", "draw", "image", "latent", "category")
        assert code.shape == (1, 200, 16, 20, 10)
        values = code.values
        assert set(np.unique(values)) == {0, 1}
        assert (values.sum(-1) == 1).all()
        np.testing.assert_array_equal(data["observed_data"]["pixels"], digits.test[:16])
        np.testing.assert_array_equal(data["constant_data"]["digit"], digits.test_labels[:16])
        probability = data["constant_data"]["guide_probability"].values
        error = np.sqrt(probability * (1 - probability) / 200)
        assert (np.abs(values[0].mean(0) - probability) < 5 * error + 0.01).all()
        # A reconstruction is nearer to its own image than to the next one.
        guess = data["constant_data"]["reconstruction"].values
        own = np.abs(guess - digits.test[:16]).mean(1)
        other = np.abs(guess - np.roll(digits.test[:16], 1, 0)).mean(1)
        assert (own < other).all()


TRAINED = "RelaxedOneHotCategoricalStraightThrough"
"""The distribution of the runs above, which need no second test."""

CONCRETE = [name for name in LAWS if name not in table_tests.TRAINED and name != TRAINED]


# NumPyro compiles for each, so a binary and a categorical class stand for the others there.
ON_HOSTS = [(name, "pyro") for name in CONCRETE]
ON_HOSTS += [(name, "numpyro") for name in ("RelaxedBernoulli", "RelaxedOneHotCategorical")]


@pytest.mark.long
@pytest.mark.parametrize(("name", "host"), ON_HOSTS)
def test_every_distribution_learns(name: str, host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module = {"numpyro": numpyro_model, "pyro": pyro_model}[host]
    passes = 0
    original = module.DiscreteVAE.model

    def counted(self: Any, images: Any) -> None:
        nonlocal passes
        passes += 1
        original(self, images)

    monkeypatch.setattr(module.DiscreteVAE, "model", counted)
    settings = Settings(60, 100, 1e-2, 0, test_samples=2, progress=False)
    digits = load_digits()
    result = module.fit_and_evaluate(digits, LAWS[name].kind, name, None, settings)
    assert result.test_bound > baseline_bound(digits.train, digits.test) + 10
    assert result.losses.shape == (60,)
    if host == "numpyro":
        # The model runs as Python only while it is traced.
        assert passes < 15
    else:
        assert passes > 60


@pytest.mark.long
def test_epochs_seeds_and_printed_lines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--backend", "pyro", "--epochs", "2", "--batch-size", "1000"]
    first = run(tmp_path / "a", *options, "--seed", "5")
    printed = capsys.readouterr().out
    assert f"{first['discrete_test_bound']:.2f} nats per image" in printed
    assert f"{first['training_bound']:.2f} nats per image" in printed
    assert f"{first['baseline_test_bound']:.2f} nats per image" in printed
    assert f"{first['median_step_ms']:.2f} ms" in printed
    assert first["steps"] == 10  # 4,500 images: four batches and a half in a pass
    assert first["temperature"] == 0.5
    again = run(tmp_path / "b", *options, "--seed", "5")
    other = run(tmp_path / "c", *options, "--seed", "6")
    assert first["discrete_test_bound"] == again["discrete_test_bound"]
    assert first["discrete_test_bound"] != other["discrete_test_bound"]


def test_binary_codes_are_zeros_and_ones_in_the_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import arviz

    options = ["--backend", "pyro", "--distribution", "StraightThroughBernoulli", "--steps", "30"]
    assert cli.main([*options, "--out", str(tmp_path / "out")]) == 0
    assert "30/30" in (bar := capsys.readouterr().err)
    assert re.search(r"loss \d+\.\d\d", bar)
    code = arviz.from_netcdf(tmp_path / "out" / "posterior.nc")["posterior"]["code"]
    assert code.shape == (1, 200, 16, 200)
    assert set(np.unique(code)) == {0, 1}
    assert json.loads((tmp_path / "out" / "metrics.json").read_text())["temperature"] is None


def test_a_loss_that_is_not_finite_ends_the_run() -> None:
    losses = iter([np.ones(3), np.array([1.0, np.nan, 2.0]), np.ones(1)])
    with pytest.raises(RunFailedError, match="not finite at step 5"):
        train_with_progress(7, lambda size: next(losses), chunk=3, description="", show=False)


def test_losses_come_back_in_order() -> None:
    asked = []

    def advance(size: int) -> np.ndarray:
        asked.append(size)
        return np.arange(size) + 10.0 * len(asked)

    losses, step, whole = train_with_progress(7, advance, chunk=3, description="", show=False)
    assert asked == [3, 3, 1]
    np.testing.assert_array_equal(losses, [10, 11, 12, 20, 21, 22, 30])
    assert 0 < step < whole


# The bound of a small model by enumeration, in NumPy alone.

SMALL = {
    "bernoulli": (LatentKind((4,), "", 0), "RelaxedBernoulli"),
    "categorical": (LatentKind((2, 3), "", 1), "RelaxedOneHotCategorical"),
}


def every_code(kind: LatentKind) -> np.ndarray:
    if kind.event_dim:
        choices = itertools.product(np.eye(kind.shape[1]), repeat=kind.shape[0])
    else:
        choices = itertools.product((0.0, 1.0), repeat=kind.shape[0])
    return np.array(list(choices), np.float64)


def enumerated_bound(
    kind: LatentKind, weights: dict[str, dict[str, np.ndarray]], images: np.ndarray
) -> float:
    """E_q[log p(x | z)] - KL(q | uniform), summed over every code."""

    def net(w: dict[str, np.ndarray], x: np.ndarray) -> np.ndarray:
        return np.tanh(x @ w["w1"] + w["b1"]) @ w["w2"] + w["b2"]

    codes = every_code(kind)
    logits = net(weights["encoder"], images).reshape(len(images), 1, *kind.shape)
    if kind.event_dim:
        log_q = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
        log_q = (codes * log_q).sum((-1, -2))
    else:
        log_q = -(codes * np.log1p(np.exp(-logits)) + (1 - codes) * np.log1p(np.exp(logits)))
        log_q = log_q.sum(-1)
    q = np.exp(log_q)
    np.testing.assert_allclose(q.sum(1), 1.0, rtol=1e-6)
    pixels = net(weights["decoder"], codes.reshape(len(codes), -1))
    log_p = images @ pixels.T - np.log1p(np.exp(pixels)).sum(1)
    return float((q * (log_p - log_q - np.log(len(codes)))).sum(1).mean())


def numpyro_bounds(small: Latents, weights: Any, images: np.ndarray, count: int) -> np.ndarray:
    vae = numpyro_model.DiscreteVAE(small, weights, discrete=True)
    return numpyro_model.discrete_bounds(vae, weights, images, jax.random.key(1), count)


def pyro_bounds(small: Latents, weights: Any, images: np.ndarray, count: int) -> np.ndarray:
    import pyro

    pyro.clear_param_store()
    vae = pyro_model.DiscreteVAE(small, weights)
    vae.make_discrete()
    with torch.no_grad():
        return pyro_model.discrete_bounds(vae, images, count)


@pytest.mark.parametrize("latent", SMALL)
@pytest.mark.parametrize(
    ("host", "bounds"), [(relaxppl.numpyro, numpyro_bounds), (relaxppl.pyro, pyro_bounds)]
)
def test_discrete_bound_is_the_enumerated_one(
    latent: str, host: Any, bounds: Callable[..., np.ndarray]
) -> None:
    kind, name = SMALL[latent]
    small = Latents(kind, LAWS[name], getattr(host, name), 0.5)
    images = load_digits().test[:40]
    weights = initial_weights(2, images, kind)
    rng = np.random.default_rng(0)
    for network in weights.values():
        for key in network:
            network[key] = network[key] + 0.3 * rng.standard_normal(network[key].shape)
            network[key] = network[key].astype(np.float32)
    exact = enumerated_bound(kind, weights, images)
    found = bounds(small, weights, images, 600)
    error = found.std() / np.sqrt(len(found))
    assert error < 0.2
    assert abs(found.mean() - exact) < 4 * error + 1e-4 * abs(exact)


def test_baseline_is_a_product_of_scipy_bernoullis() -> None:
    from scipy import stats

    rng = np.random.default_rng(1)
    train = (rng.random((30, 6)) < [0.0, 0.1, 0.4, 0.5, 0.9, 1.0]).astype(np.float32)
    test = (rng.random((5, 6)) < 0.5).astype(np.float32)
    fitted = (train.sum(0) + 0.5) / 31
    expected = stats.bernoulli(fitted).logpmf(test.astype(int)).sum(1).mean()
    assert baseline_bound(train, test) == pytest.approx(expected, rel=1e-6)


@pytest.mark.long
def test_hosts_begin_at_the_same_weights_with_the_same_training_law() -> None:
    digits = load_digits()
    settings = Settings(1, 4500, 1e-12, 3, test_samples=20, progress=False)
    results = {
        host: module.fit_and_evaluate(digits, "bernoulli", "RelaxedBernoulli", 0.7, settings)
        for host, module in zip(HOSTS, (numpyro_model, pyro_model), strict=True)
    }
    first, second = results.values()
    for network in ("encoder", "decoder"):
        for key, value in first.weights[network].items():
            np.testing.assert_allclose(value, second.weights[network][key], atol=1e-6)
    # All images in the batch: the losses differ by the noise of the codes alone.
    assert first.losses[0] == pytest.approx(second.losses[0], abs=0.5)
    assert first.test_bound == pytest.approx(second.test_bound, abs=0.5)


def test_a_latent_gets_its_own_class() -> None:
    for host in (relaxppl.numpyro, relaxppl.pyro):
        for name, law in LAWS.items():
            bound = bind(host, law.kind, name, None)
            assert bound.training_class.__name__ == name
            zeros = jax.numpy.zeros if host is relaxppl.numpyro else torch.zeros
            shape = latents.KINDS[law.kind].shape

            def has_shapes(bound: Any = bound, zeros: Any = zeros, shape: Any = shape) -> None:
                made = bound.training(zeros((7, *shape)))
                assert (tuple(made.batch_shape), tuple(made.event_shape)) == ((7,), shape)

            # NumPyro needs to compile nothing for them.
            jax.eval_shape(has_shapes) if host is relaxppl.numpyro else has_shapes()
