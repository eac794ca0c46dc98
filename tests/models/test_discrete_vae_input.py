"""What the discrete VAE's command line refuses: one line, exit code 2, nothing written."""

import subprocess
import sys
from pathlib import Path

import pytest

from models.discrete_vae import cli
from tests.models.test_data import write_mnist

BAD = {
    "unknown backend": (["--backend", "tensorflow"], "--backend", "'numpyro', 'pyro'"),
    "unknown latent": (["--latent", "gaussian"], "--latent", "'bernoulli', 'categorical'"),
    "unknown distribution": (["--distribution", "Foo"], "--distribution", "RelaxedBernoulli,"),
    "other latent": (
        ["--latent", "bernoulli", "--distribution", "RelaxedOneHotCategorical"],
        "--distribution",
        "stands for a categorical latent; for --latent bernoulli choose from RelaxedBernoulli",
    ),
    "zero temperature": (["--temperature", "0"], "--temperature", "a finite number above 0"),
    "negative temperature": (["--temperature", "-1"], "--temperature", "above 0"),
    "infinite temperature": (["--temperature", "inf"], "--temperature", "a finite number"),
    "no number": (["--temperature", "warm"], "--temperature", "'warm' is not allowed"),
    "superfluous temperature": (
        ["--distribution", "StraightThroughBernoulli", "--temperature", "1"],
        "--temperature",
        "has no temperature; leave it out",
    ),
    "no steps": (["--steps", "0"], "--steps", "a whole number of at least 1"),
    "part of a step": (["--steps", "1.5"], "--steps", "a whole number of at least 1"),
    "no epochs": (["--epochs", "0"], "--epochs", "a whole number of at least 1"),
    "both": (["--steps", "1", "--epochs", "1"], "--epochs", "not allowed together with --steps"),
    "negative seed": (["--seed", "-1"], "--seed", "from 0 to 4294967295"),
    "large batch": (["--batch-size", "4501"], "--batch-size", "4501 is not allowed; 1 to 4500"),
    "no batch": (["--batch-size", "0"], "--batch-size", "at least 1"),
    "rate": (["--learning-rate", "nan"], "--learning-rate", "a finite number above 0"),
    "held out": (["--held-out", "5000"], "--held-out", "give 1 to 4999"),
    "no folder": (["--mnist", "/nowhere"], "--mnist", "/nowhere is not a folder"),
    "unknown option": (["--colour", "red"], "--colour", "unrecognized"),
    "cut option": (["--step", "3"], "--step", "unrecognized"),
}


@pytest.mark.parametrize(("arguments", "name", "allowed"), BAD.values(), ids=BAD.keys())
def test_refusal(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    name: str,
    allowed: str,
) -> None:
    assert cli.main([*arguments, "--out", str(tmp_path / "out")]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert name in captured.err
    assert allowed in captured.err
    assert "Traceback" not in captured.err
    assert list(tmp_path.iterdir()) == []


def test_out_that_is_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "file"
    file.write_text("mine")
    for out in (file, file / "below"):
        assert cli.main(["--out", str(out)]) == 2
        line = capsys.readouterr().err
        assert line.count("\n") == 1
        assert "--out" in line
        assert f"{file} is not a folder" in line
    assert file.read_text() == "mine"


def test_truncated_idx(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_mnist(tmp_path)
    file = tmp_path / "train-images-idx3-ubyte"
    file.write_bytes(file.read_bytes()[:-100])
    out = tmp_path / "out"
    assert cli.main(["--mnist", str(tmp_path), "--held-out", "5", "--out", str(out)]) == 2
    line = capsys.readouterr().err
    assert line.count("\n") == 1
    assert "argument --mnist" in line
    assert "truncated" in line
    assert not out.exists()


@pytest.mark.parametrize(
    ("blocked", "arguments", "says"),
    [
        ("numpyro", ["--backend", "numpyro"], 'pip install "relaxppl[numpyro]"'),
        ("pyro", ["--backend", "pyro"], 'pip install "relaxppl[pyro]"'),
        ("mlxtend", ["--backend", "pyro"], 'pip install "relaxppl[models]"'),
        ("matplotlib", ["--backend", "numpyro"], 'pip install "relaxppl[models]"'),
    ],
)
def test_missing_extra(tmp_path: Path, blocked: str, arguments: list[str], says: str) -> None:
    program = (
        f"import sys; sys.modules[{blocked!r}] = None; "
        "from models.discrete_vae.cli import main; sys.exit(main(sys.argv[1:]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments, "--out", str(tmp_path / "out")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1, done.stderr
    assert says in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_diverged_run_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--backend", "pyro", "--steps", "20", "--learning-rate", "1e30", "--quiet"]
    out = tmp_path / "out"
    assert cli.main([*options, "--distribution", "RelaxedBernoulli", "--out", str(out)]) == 1
    line = capsys.readouterr().err
    assert line.count("\n") == 1
    assert "--learning-rate" in line
    assert list(tmp_path.iterdir()) == []


def test_help_names_every_distribution(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--help"]) == 0
    text = capsys.readouterr().out
    for name in cli.LAWS:
        assert name in text.replace("\n", "").replace(" ", "") or name in text


def test_an_impossible_bound_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    # At this temperature most float32 values are exactly 0 or 1, where the density misleads.
    options = ["--backend", "pyro", "--distribution", "RelaxedBernoulli", "--temperature", "0.05"]
    out = tmp_path / "out"
    assert cli.main([*options, "--steps", "150", "--quiet", "--out", str(out)]) == 1
    line = capsys.readouterr().err
    assert line.count("\n") == 1
    assert "raise --temperature, or choose --distribution LogitRelaxedBernoulli" in line
    assert list(tmp_path.iterdir()) == []
