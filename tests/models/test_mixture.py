"""The mixture: its truths against quadrature, and what each method finds."""

import json
from pathlib import Path

import jax
import numpy as np
import pytest
from scipy import integrate, stats

from models.mixture import cli, numpyro_model, pyro_model, truth
from tests.models.refusing import check_refusal


@pytest.fixture(autouse=True)
def single_precision():
    """The precision that the program has outside the tests."""
    with jax.enable_x64(False):
        yield


def test_evidence_against_quadrature() -> None:
    y = truth.petal_lengths()[[0, 5, 7]]
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
    y, rng = truth.petal_lengths(), np.random.default_rng(0)
    exact, best = truth.exact(y, 100, rng), truth.best_factorised(y, 100, rng)
    assert best.bound < exact.bound
    spread = np.full(3, 0.4)
    for _ in range(20):
        logits = np.log(best.probs + 1e-12) + 0.1 * rng.normal(size=best.probs.shape)
        probs = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
        mean = best.loc.mean(0) + 0.1 * rng.normal(size=3)
        assert truth.bound(y, mean, spread, probs) < best.bound


@pytest.mark.long
@pytest.mark.parametrize(
    ("host", "method"),
    [
        (pyro_model, "DisARM"),
        (pyro_model, "TraceEnum"),
        (numpyro_model, "REBAR"),
        (numpyro_model, "TraceEnum"),
    ],
)
def test_unbiased_methods_near_the_best_bound(host, method: str) -> None:
    y, rng = truth.petal_lengths(), np.random.default_rng(0)
    best = truth.best_factorised(y, 10, rng).bound
    params = host.parameters(method, y, 250, 0.05, 0, False)
    answer = cli.fitted(y, params, 2000, rng)
    assert answer.bound > best - 0.4
    # Summing the assignments out can only tighten the bound; 2,000 draws blur it a little.
    assert answer.bound < truth.exact(y, 10, rng).bound + 0.1


@pytest.mark.parametrize("backend", ["numpyro", "pyro"])
def test_the_hosts_and_the_command_line_know_the_same_methods(backend: str) -> None:
    host = {"numpyro": numpyro_model, "pyro": pyro_model}[backend]
    assert tuple(host.METHODS) == cli.METHODS


def test_quick_run(tmp_path: Path) -> None:
    methods = ["relaxed", "straight-through", "score function", "RLOO", "RELAX"]
    options = ["--backend", "pyro", "--quick", "--quiet", "--steps", "40", "--method", *methods]
    assert cli.main([*options, "--out", str(tmp_path / "out")]) == 0
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert list(metrics["answers"]) == [cli.TRUTH, cli.BEST, *methods]
    for row in metrics["answers"].values():
        assert row["bound"] <= metrics["answers"]["truth"]["bound"]
        np.testing.assert_allclose(np.sum(row["assignment_probs"], 1), 1.0, rtol=1e-4)
    assert (tmp_path / "out" / "answers.png").exists()


def test_refusal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    check_refusal(
        cli,
        ["--method", "magic"],
        "'magic' is unknown; choose from relaxed, straight-through",
        tmp_path,
        capsys,
    )
