"""What the command line of the sigmoid belief network refuses: one line, exit code 2, no files."""

from pathlib import Path

import pytest

from models.sigmoid_belief_network import cli
from models.sigmoid_belief_network.estimators import ALL

BAD = {
    "unknown backend": (["--backend", "jax"], "--backend", "'numpyro', 'pyro'"),
    "unknown estimator": (["--estimator", "vimco"], "--estimator", "'vimco' is unknown; choose"),
    "one of two": (["--estimator", "rebar", "vimco"], "--estimator", "'vimco' is unknown"),
    "repeated": (["--estimator", "rebar,rebar"], "--estimator", "'rebar' is repeated"),
    "all and one": (["--estimator", "all", "rebar"], "--estimator", "'all' is unknown"),
    "no estimator": (["--estimator"], "--estimator", "at least one argument"),
    "layers": (["--layers", "3"], "--layers", "choose from 1, 2"),
    "latents": (["--latents", "0"], "--latents", "a whole number of at least 1"),
    "hidden": (["--hidden", "-1"], "--hidden", "a whole number of at least"),
    "steps": (["--steps", "0"], "--steps", "a whole number of at least 1"),
    "seconds": (["--seconds", "0"], "--seconds", "a finite number above 0"),
    "time of one": (["--equal-time"], "--equal-time", "not allowed with one --estimator"),
    "both times": (
        ["--estimator", "all", "--equal-time", "--seconds", "3"],
        "--seconds",
        "not allowed together with --equal-time",
    ),
    "seed": (["--seed", "-1"], "--seed", "from 0 to 4294967295"),
    "seeds": (["--seed", "1", "1"], "--seed", "a seed is repeated"),
    "one draw": (["--estimator", "rloo", "--particles", "1"], "--particles", "give 2 or more"),
    "superfluous temperature": (
        ["--estimator", "rloo", "disarm", "--temperature", "1"],
        "--temperature",
        "rloo, disarm: no temperature here",
    ),
    "one gradient": (["--variance-draws", "1"], "--variance-draws", "give 2 or more, or 0"),
    "temperature": (["--temperature", "0"], "--temperature", "a finite number above 0"),
    "batch": (["--batch-size", "4501"], "--batch-size", "4501 is not allowed; 1 to 4500"),
    "rate": (["--learning-rate", "inf"], "--learning-rate", "a finite number above 0"),
    "held out": (["--held-out", "5000"], "--held-out", "give 1 to 4999"),
    "no folder": (["--mnist", "/nowhere"], "--mnist", "/nowhere is not a folder"),
    "unknown option": (["--colour", "red"], "--colour", "unrecognized"),
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
    assert list(tmp_path.iterdir()) == []


def test_out_that_is_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "file"
    file.write_text("mine")
    assert cli.main(["--out", str(file)]) == 2
    line = capsys.readouterr().err
    assert line.count("\n") == 1
    assert f"{file} is not a folder" in line
    assert file.read_text() == "mine"


def test_help_names_every_estimator(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--help"]) == 0
    words = capsys.readouterr().out.replace("\n", "").replace(" ", "")
    for name in ALL:
        assert name in words
