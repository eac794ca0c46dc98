"""The programs that people copy: each runs, says what it should, and can be read in one sitting."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
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


@pytest.mark.parametrize("name", PROGRAMS)
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
    "mixture": ["--steps", "5"],
    "sparse_regression": ["--steps", "5", "--regressions", "2"],
    "sigmoid_belief_network": ["--steps", "5", "--latents", "20"],
    "subset_selection": ["--steps", "5"],
    "laplace_bridge": ["--steps", "50"],
