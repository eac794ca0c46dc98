"""The programs that people copy: each runs, says what it should, and can be read in one sitting."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pyro
import pytest
import torch
from matplotlib.image import imread

from models import demo
from models.data import load_digits
from tests.models.refusing import check_refusal

HOSTS = ("numpyro", "pyro")
FOLDER = Path(demo.__file__).parent
PROGRAMS = sorted(
    f"{host}.{path.stem}"
    for host in HOSTS
    for path in (FOLDER / host).glob("*.py")
    if path.stem != "__init__"
)


@pytest.fixture(autouse=True, scope="module")
def single_precision():
    """The precision that the programs have outside the tests."""
    with jax.enable_x64(False):
        yield


def test_hosts_have_the_same_programs() -> None:
    names = {
        host: [p.split(".")[1] for p in PROGRAMS if p.startswith(host + ".")] for host in HOSTS
    }
    assert names["numpyro"] == names["pyro"]
    assert "discrete_vae" in names["pyro"]


@pytest.mark.parametrize("name", [*PROGRAMS, "policy_gradient"])
def test_a_program_is_read_in_one_sitting(name: str) -> None:
    assert len((FOLDER / f"{name.replace('.', '/')}.py").read_text().splitlines()) <= 150


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_says_what_it_takes(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    program = importlib.import_module(f"models.{name}")
    assert program.main(["--help"]) == 0
    assert f"usage: {name}" in capsys.readouterr().out
    check_refusal(program, ["--steps", "0"], "a whole number of at least 1", tmp_path, capsys)


SHORT = {
    "attend_infer_repeat": ["--steps", "3", "--method", "vimco"],
    "mixture": ["--steps", "5"],
    "sparse_regression": ["--steps", "5", "--regressions", "2"],
    "sigmoid_belief_network": ["--steps", "5", "--latents", "20"],
    "subset_selection": ["--steps", "5"],
    "laplace_bridge": ["--steps", "50"],
    "decoupled_straight_through": ["--steps", "20", "--seeds", "1"],
    "stick_breaking_mixture": ["--steps", "5", "--draws", "100", "--components", "3"],
    "latent_skills": ["--steps", "5"],
    "rankings": ["--steps", "5", "--draws", "100"],
    "hidden_markov": ["--steps", "5", "--days", "30"],
    "switching_dynamics": ["--steps", "5", "--months", "30"],
    "topic_model": ["--steps", "5"],
}
"""Options with which a program is over in seconds."""


@pytest.mark.parametrize(
    "name",
    [
        # NumPyro compiles each, and networks on hundreds of canvases take Pyro long too.
        pytest.param(
            f"{host}.{program}",
            marks=[pytest.mark.long] if "numpyro" in host or "attend" in program else [],
        )
        for host in HOSTS
        for program in SHORT
    ],
)
def test_a_program_leaves_pictures_numbers_and_draws(name: str, tmp_path: Path) -> None:
    import arviz

    out, program = tmp_path / "out", importlib.import_module(f"models.{name}")
    options = [*SHORT[name.split(".")[1]], "--quiet", "--out", str(out)]
    assert program.main(options) == 0
    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics["command"] == f"python -m models.{name} {' '.join(options)}"
    assert arviz.from_netcdf(out / "posterior.nc")["posterior"].sizes["draw"] >= 100
    for picture in out.glob("*.png"):
        assert imread(picture)[..., 0].std() > 0.05
    assert len(list(out.glob("*.png"))) > 0


@pytest.mark.parametrize("name", ["hidden_markov", "switching_dynamics"])
def test_a_series_takes_draws_side_by_side(name: str) -> None:
    """As vectorised particles have them: each draw has the log density that it has alone."""
    model, seen = importlib.import_module(f"models.pyro.{name}").model, torch.linspace(-1.0, 1.0, 9)
    alone = [pyro.poutine.trace(model).get_trace(seen) for _ in range(3)]
    names = [n for n in alone[0].stochastic_nodes if n not in ("month", "walk")]
    values = {n: torch.stack([trace.nodes[n]["value"] for trace in alone]) for n in names}
    # What lies in no plate has the dimension of the month's, which is the rightmost, all the same.
    outside = (n for n in names if not alone[0].nodes[n]["cond_indep_stack"])
    values.update({n: values[n].unsqueeze(1) for n in outside})
    with pyro.plate("draws", 3, dim=-2):
        together = pyro.poutine.trace(pyro.condition(model, values)).get_trace(seen)
    together.compute_log_prob()
    each = (s["log_prob"] for s in together.nodes.values() if s["type"] == "sample")
    found = sum((x + torch.zeros(3, 1)).sum(-1) for x in each)
    expected = torch.stack([trace.log_prob_sum() for trace in alone])
    torch.testing.assert_close(found, expected)


@pytest.fixture(scope="module")
def vaes(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, dict[str, Any]]]:
    """A short run of the discrete VAE on each host."""
    out, metrics = tmp_path_factory.mktemp("demo"), {}
    for host in HOSTS:
        program = importlib.import_module(f"models.{host}.discrete_vae")
        assert program.main(["--steps", "100", "--quiet", "--out", str(out / host)]) == 0
        metrics[host] = json.loads((out / host / "metrics.json").read_text())
    return out, metrics


def test_discrete_vae_beats_independent_pixels(vaes: Any) -> None:
    gains = [found["discrete_test_bound"] - found["baseline"] for found in vaes[1].values()]
    assert min(gains) > 25
    assert abs(gains[0] - gains[1]) < 5


def test_discrete_vae_leaves_a_posterior(vaes: Any) -> None:
    import arviz

    for host in HOSTS:
        data = arviz.from_netcdf(vaes[0] / host / "posterior.nc")
        code = data["posterior"]["code"]
        assert code.dims[:3] == ("chain", "draw", "image")
        assert set(np.unique(code)) == {0, 1}
        shown = data["observed_data"]["pixels"].values
        np.testing.assert_array_equal(shown, load_digits().test[: len(shown)])
        # A reconstruction is nearer to its own image than to the next one.
        guess = data["posterior"]["probs"].values.mean((0, 1))
        own, other = (np.abs(guess - np.roll(shown, k, 0)).mean() for k in (0, 1))
        assert own < other


def test_demo_sets_the_hosts_side_by_side(vaes: Any) -> None:
    out, metrics = vaes
    demo.picture(out)
    assert imread(out / demo.PICTURE).shape[0] > 300
    lines = demo.table(metrics).splitlines()
    assert [line.split()[0] for line in lines] == ["host", *HOSTS]
    for line, host in zip(lines[1:], HOSTS, strict=True):
        assert f"{metrics[host]['discrete_test_bound']:.2f} nats" in line


def test_demo_refuses(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    check_refusal(demo, ["--steps", "0"], "a whole number of at least 1", tmp_path, capsys)
