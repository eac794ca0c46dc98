"""Every relaxation as the latent of the discrete VAE: its hard law, its KL, and the table."""

import json
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
import torch
from matplotlib.image import imread
from scipy import special, stats

import relaxppl.numpyro
import relaxppl.pyro
from models.data import baseline_bound, load_digits
from models.discrete_vae import numpyro_model, pyro_model, table
from models.discrete_vae.builds import COUNTS
from models.discrete_vae.latents import KINDS, LAWS, LatentKind, Latents, bind
from models.discrete_vae.result import Settings

# NumPyro compiles for each, so most are on Pyro.
TRAINED = {
    "ReinMaxBernoulli": "pyro",
    "ReinMaxOneHotCategorical": "pyro",
    "GumbelRaoBernoulli": "pyro",
    "GumbelRaoOneHotCategorical": "numpyro",
    "SubsetStraightThrough": "pyro",
    "RebarRelaxation": "pyro",
    "CorrelatedRelaxedBernoulli": "pyro",
    "HardConcrete": "numpyro",
    "GaussianRelaxedBernoulli": "pyro",
    "StochasticTimesSmooth": "pyro",
    "DecoupledStraightThroughGumbelSoftmax": "pyro",
    "InvertibleGaussian": "pyro",
    "LogisticNormalSoftmax": "pyro",
    "GumbelSoftmaxTopK": "pyro",
    "Poisson": "pyro",
    "Geometric": "pyro",
}
HARDENED = [name for name in TRAINED if LAWS[name].kl is None]


@pytest.fixture(autouse=True, scope="module")
def single_precision():
    """The precision that the program has outside the tests."""
    with jax.enable_x64(False):
        yield


@pytest.mark.long
@pytest.mark.parametrize("name", TRAINED)
def test_it_trains_to_a_finite_bound(name: str) -> None:
    module = {"numpyro": numpyro_model, "pyro": pyro_model}[TRAINED[name]]
    digits = load_digits(None, 20)
    settings = Settings(15, 100, 1e-2, 0, 2, 2, 4, 3, progress=False)
    result = module.fit_and_evaluate(digits, LAWS[name].kind, name, None, settings)
    assert np.isfinite(result.losses).all()
    # Far from every bound of a decoder that is broken, though hardly trained.
    assert 0 > result.test_bound > baseline_bound(digits.train, digits.test) - 40
    codes = np.unique(result.latent_draws)
    assert set(codes) <= (set(range(COUNTS)) if name in ("Poisson", "Geometric") else {0, 1})
    if LAWS[name].kind == "subset":
        assert (result.latent_draws.sum(-1) == 2).all()
    if name == "CorrelatedRelaxedBernoulli":
        assert result.weights["encoder"]["factors"].shape == (200, 4)


@pytest.mark.parametrize("name", HARDENED)
def test_hard_draws_have_the_law_that_the_bound_takes(name: str) -> None:
    torch.manual_seed(1)
    shape = (3, 4) if LAWS[name].kind == "categorical" else (6,)
    kind = LatentKind(shape, name, len(shape) - 1)
    latents = Latents(kind, LAWS[name], getattr(relaxppl.pyro, name), 0.5)
    logits = torch.tensor(np.random.default_rng(0).normal(0.0, 1.2, shape), dtype=torch.float32)
    for value in (logits, 0.0 * logits):
        factors = torch.ones(6, 2) if LAWS[name].rank else None
        law: Any = latents.training(value, factors)
        draws = law.sample((20_000,))
        while hasattr(law, "base_dist"):
            law = law.base_dist
        found = law.harden(draws).mean(0)
        hard = latents.hard_logits(value)
        expected = torch.softmax(hard, -1) if kind.event_dim else torch.sigmoid(hard)
        assert (found - expected).abs().max() < 0.018  # five standard errors
    # The prior of the discrete model is uniform, whatever trains it.
    assert (expected - expected.flatten()[0]).abs().max() < 1e-3


@pytest.mark.parametrize("name", [name for name in LAWS if LAWS[name].kind == "subset"])
def test_the_kl_of_subsets_is_that_of_the_library(name: str) -> None:
    latents = bind(relaxppl.pyro, "subset", name, None)
    logits = torch.tensor([[1.0, -2.0, 0.3, 0.0, 4.0], [0.0] * 5, [30.0, 0.0, 0.0, -30.0, 9.0]])
    entropy = latents.training(logits[None]).base_dist.entropy()[0]
    expected = np.log(10.0) - entropy.numpy()
    np.testing.assert_allclose(latents.kl_from_prior(logits).numpy(), expected, atol=2e-5)


@pytest.mark.parametrize("name", ["Poisson", "Geometric"])
def test_the_kl_of_counts_is_that_of_scipy(name: str) -> None:
    latents = bind(relaxppl.numpyro, name.lower(), name, None)
    logits = np.array([-2.0, 0.0, 1.5], np.float32)

    def masses(logit: np.ndarray) -> np.ndarray:
        k = np.arange(COUNTS - 1)[:, None]
        if name == "Poisson":
            law = stats.poisson(2.0 * np.logaddexp(0.0, logit) / np.log(2.0))
        else:
            law = stats.geom(special.expit(-logit), loc=-1)
        return np.concatenate([law.pmf(k), law.sf(k[-1:])])

    q, p = masses(logits.astype(float)), masses(np.zeros(3))
    expected = (q * np.log(q / p)).sum(0)
    found = latents.kl_from_prior(jax.numpy.asarray(logits))
    np.testing.assert_allclose(found, expected, atol=2e-5)


def test_the_factors_make_the_correlation() -> None:
    latents = bind(relaxppl.pyro, "bernoulli", "CorrelatedRelaxedBernoulli", None)
    factors = torch.tensor(np.random.default_rng(3).normal(size=(200, 4)), dtype=torch.float32)
    covariance = np.eye(200) + factors.numpy() @ factors.numpy().T
    scale = np.sqrt(np.diag(covariance))
    found = latents.training(torch.zeros(200), factors).correlation_matrix
    np.testing.assert_allclose(found, covariance / scale / scale[:, None], atol=1e-5)


def test_the_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    names = ["StraightThroughBernoulli", "CorrelatedRelaxedBernoulli"]
    options = ["--backend", "pyro", "--steps", "10", "--held-out", "10", "--test-samples", "2"]
    assert table.main([*options, "--quiet", "--out", str(out), "--distributions", *names]) == 0
    assert sorted(path.name for path in out.iterdir()) == ["images.png", "metrics.json"]
    metrics = json.loads((out / "metrics.json").read_text())
    printed = capsys.readouterr().out
    assert list(metrics["distributions"]) == names
    for row in metrics["distributions"].values():
        assert f"{row['discrete_test_bound']:.2f}" in printed
        gain = row["discrete_test_bound"] - metrics["baseline_test_bound"]
        assert row["gain_over_baseline"] == pytest.approx(gain)
    assert 0 < metrics["distributions"][names[1]]["largest_correlation"] < 1
    assert metrics["steps"] == 10
    assert metrics["versions"]["relaxppl"] == relaxppl.__version__
    assert imread(out / "images.png")[..., 0].std() > 0.1


def test_the_table_refuses_an_unknown_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert table.main(["--distributions", "Foo", "--out", str(tmp_path / "out")]) == 2
    assert "'Foo' is unknown; choose from RelaxedBernoulli" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_every_kind_has_a_default_and_every_law_a_kind() -> None:
    assert {law.kind for law in LAWS.values()} == set(KINDS)
    assert all(LAWS[kind.default].kind == name for name, kind in KINDS.items())
