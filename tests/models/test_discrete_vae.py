"""Every relaxation as the code of the discrete VAE: its hard law, its KL, and the table."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jax
import numpy as np
import numpyro
import pyro
import pytest
import torch
from matplotlib.image import imread
from scipy import special, stats

import relaxppl.numpyro
import relaxppl.pyro
from models.studies import discrete_vae as study
from tests.models.refusing import check_refusal

BACKENDS = {"numpyro": relaxppl.numpyro, "pyro": relaxppl.pyro}


@pytest.fixture(autouse=True, scope="module")
def single_precision():
    """The precision that the study has outside the tests."""
    with jax.enable_x64(False):
        yield


def made(backend: str, name: str, logits: Any) -> tuple[Any, Any]:
    """The discrete law of a code with these logits, and what stands for it."""
    way, rx = study.WAYS[name], BACKENDS[backend]
    law = study.laws(backend, rx)[way.code](logits)
    config = {"code": study.partial(way.make, rx) if way.make else getattr(rx, name)}
    if backend == "numpyro":
        program = rx.relax(lambda: numpyro.sample("code", law), way.temperature, config)
        seeded = numpyro.handlers.seed(program, 0)
        return law, numpyro.handlers.trace(seeded).get_trace()["code"]["fn"]
    program = rx.relax(lambda: pyro.sample("code", law), way.temperature, config)
    return law, pyro.poutine.trace(program).get_trace().nodes["code"]["fn"]


@pytest.mark.parametrize("backend", BACKENDS)
def test_every_relaxation_has_the_shape_of_its_code(backend: str) -> None:
    def shapes(logits: Any) -> None:
        for name in study.WAYS:
            law, relaxed = made(backend, name, logits)
            assert tuple(relaxed.batch_shape) == tuple(law.batch_shape) == (7,)
            assert tuple(relaxed.event_shape) == tuple(law.event_shape)

    # NumPyro needs to compile nothing for them.
    zeros = np.zeros((7, 200), np.float32)
    jax.eval_shape(shapes, zeros) if backend == "numpyro" else shapes(torch.tensor(zeros))


@pytest.mark.parametrize(
    "name",
    [
        "GaussianRelaxedBernoulli",
        "StochasticTimesSmooth",
        "HardConcrete",
        "InvertibleGaussian",
        "LogisticNormalSoftmax",
        "CorrelatedRelaxedBernoulli",
    ],
)
def test_hard_draws_have_the_law_that_the_bound_takes(name: str) -> None:
    torch.manual_seed(1)
    rng, way = np.random.default_rng(0), study.WAYS[name]
    logits = torch.tensor(rng.normal(0.0, 1.2, 200), dtype=torch.float32)
    for value in (logits, 0.0 * logits):
        law, relaxed = made("pyro", name, value)
        base = getattr(relaxed, "base_dist", relaxed)
        found = base.harden(base.sample((4_000,))).mean(0)
        hard = law.base_dist if way.hard is None else way.hard(relaxppl.pyro, base)
        assert (found - hard.mean).abs().max() < 0.04  # five standard errors
    # The prior of the discrete model is uniform, whatever trains it.
    assert (hard.mean - hard.mean.flatten()[0]).abs().max() < 1e-3


def test_the_kl_of_pairs_is_that_of_the_library() -> None:
    logits = torch.tensor([[1.0, -2.0, 0.3, 0.0, 4.0], [0.0] * 5, [30.0, 0.0, 0.0, -30.0, 9.0]])
    law = relaxppl.pyro.GumbelSoftmaxTopK(2, torch.tensor(0.5), logits=logits, hard=True)
    expected = np.log(10.0) - law.entropy().numpy()
    np.testing.assert_allclose(study.pairs_from_uniform(logits), expected, atol=2e-5)


def test_counts_are_those_of_scipy() -> None:
    logits = torch.tensor([-2.0, 0.0, 1.5] + [0.0] * 197)
    rate, k = 2.0 * np.logaddexp(0.0, logits.numpy()) / np.log(2.0), np.arange(15)[:, None]
    laws = {
        "Poisson": stats.poisson(rate),
        "Geometric": stats.geom(special.expit(-logits.numpy()), loc=-1),
    }
    for name, law in laws.items():
        masses = np.concatenate([law.pmf(k), law.sf(k[-1:])]).T
        found = made("pyro", name, logits)[1].base_dist.logits.softmax(-1)
        np.testing.assert_allclose(found, masses, atol=1e-5)


@pytest.mark.parametrize("name", ["RelaxedBernoulliStraightThrough", "SubsetStraightThrough"])
def test_a_discrete_kl_is_that_of_the_hosts_own_elbo(name: str) -> None:
    from models.pyro import discrete_vae as program

    images = torch.as_tensor(study.load_digits().train[:300])
    pair = program.programs(images.numpy(), 0)
    options = SimpleNamespace(backend="pyro")
    (own, *trained), _ = study.trainable(options, name, "discrete", pair, 0)
    rx, way = relaxppl.pyro, study.WAYS[name]
    law = study.laws("pyro", rx)[way.code]
    config = {"code": getattr(rx, name)}
    relaxed = [rx.relax(study.partial(f, law=law), temperature=0.5, config=config) for f in pair]
    found = []
    for loss, programs in ((own, trained), (pyro.infer.TraceMeanField_ELBO(), relaxed)):
        pyro.set_rng_seed(4)
        found.append(loss.loss(*programs, images))
    assert found[0] == pytest.approx(found[1], rel=1e-5)


def test_the_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, names = tmp_path / "out", ["CorrelatedRelaxedBernoulli", "HardConcrete", "DisARM_ELBO"]
    options = ["--backend", "pyro", "--steps", "3", "--quiet", "--seeds", "0", "1"]
    assert study.main([*options, "--out", str(out), "--classes", *names]) == 0
    assert sorted(path.name for path in out.iterdir()) == ["bounds.png", "metrics.json"]
    metrics, printed = json.loads((out / "metrics.json").read_text()), capsys.readouterr().out
    assert list(metrics["rows"]) == names
    for row in metrics["rows"].values():
        assert f"{row['bound']:.2f}" in printed
        # Far from every bound of a decoder that is broken, though hardly trained.
        assert 0 > row["bound"] > metrics["baseline"] - 40
        assert row["half width"] > 0
        assert row["gain"] == pytest.approx(row["bound"] - metrics["baseline"], abs=1e-3)
    assert 0 < metrics["rows"][names[0]]["largest correlation"] < 1
    assert imread(out / "bounds.png")[..., 0].std() > 0.1


def test_an_unknown_class_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    check_refusal(study, ["--classes", "Foo"], "'Foo' is unknown; choose from", tmp_path, capsys)
