"""What every command line refuses: one line, exit code 2, nothing written."""

import subprocess
import sys
from pathlib import Path

import pytest

from models.studies import mixture
from tests.models.refusing import check_refusal

BAD = {
    "unknown backend": (["--backend", "tensorflow"], "'numpyro', 'pyro'"),
    "zero rate": (["--learning-rate", "0"], "a finite number above 0"),
    "infinite rate": (["--learning-rate", "inf"], "a finite number above 0"),
    "no number": (["--learning-rate", "warm"], "'warm' is not allowed"),
    "no steps": (["--steps", "0"], "a whole number of at least 1"),
    "part of a step": (["--steps", "1.5"], "a whole number of at least 1"),
    "negative seed": (["--seed", "-1"], "from 0 to 4294967295"),
    "unknown option": (["--colour", "red"], "unrecognized"),
    "cut option": (["--step", "3"], "unrecognized"),
    "unknown method": (["--method", "magic"], "'magic' is unknown; choose from"),
    "repeated method": (["--method", "rebar", "rebar"], "'rebar' is repeated"),
}


@pytest.mark.parametrize(("arguments", "allowed"), BAD.values(), ids=BAD.keys())
def test_refusal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], allowed: str
) -> None:
    check_refusal(mixture, arguments, allowed, tmp_path, capsys)


def test_out_that_is_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "file"
    file.write_text("mine")
    for out in (file, file / "below"):
        assert mixture.main(["--out", str(out)]) == 2
        assert f"{file} is not a folder" in capsys.readouterr().err
    assert file.read_text() == "mine"


@pytest.mark.parametrize(
    ("blocked", "arguments", "says"),
    [
        ("numpyro", ["--backend", "numpyro"], "relaxppl[numpyro]"),
        ("pyro", ["--backend", "pyro"], "relaxppl[pyro]"),
        ("sklearn", ["--backend", "pyro"], "relaxppl[models]"),
        ("matplotlib", ["--backend", "numpyro"], "relaxppl[models]"),
    ],
)
def test_missing_extra(tmp_path: Path, blocked: str, arguments: list[str], says: str) -> None:
    program = (
        f"import sys; sys.modules[{blocked!r}] = None; "
        "from models.studies.mixture import main; sys.exit(main(sys.argv[1:]))"
    )
    command = [sys.executable, "-c", program, *arguments, "--out", str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1, done.stderr
    assert f'pip install "{says}"' in done.stderr
    assert list(tmp_path.iterdir()) == []
