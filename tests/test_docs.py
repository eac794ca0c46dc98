"""Every Python block of README.md and of the pages in docs/ runs, a page's in one namespace."""

from __future__ import annotations

import argparse
import os
import re
import runpy
import shlex
import sys
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pyro
import pytest
from scipy import stats

ROOT = Path(__file__).parent.parent
BLOCK = re.compile(r"^```python\n(.*?)^```", re.DOTALL | re.MULTILINE)
PAGES = sorted(
    page
    for page in (ROOT / "README.md", *(ROOT / "docs").rglob("*.md"))
    if BLOCK.search(page.read_text(encoding="utf-8"))
)


def run(page: Path) -> dict[str, Any]:
    """Runs a page's blocks as a user's program would run: in float32."""
    text = page.read_text(encoding="utf-8")
    scope: dict[str, Any] = {"__name__": page.stem}
    pyro.clear_param_store()
    with jax.enable_x64(False):
        for block in BLOCK.finditer(text):
            # Line numbers of a traceback are then those of the page.
            lines = "\n" * text[: block.start(1)].count("\n")
            exec(compile(lines + block[1], str(page), "exec"), scope)
    return scope


@pytest.fixture(autouse=True)
def _leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.chdir(tmp_path)
    yield
    pyro.clear_param_store()
    pyro.enable_validation(True)


OF_A_KIND = ("relaxations", "estimators")
AT_ONCE = ("README", "relaxed_bernoulli", "rebar")
SLOW = (
    "arviz",
    "auto_discrete",
    "choosing",
    "composition",
    "kl_rules",
    "relax",
    "trust",
    "tutorial",
)


# The pages of relaxations and of estimators are alike: `make test` runs some, `make docs` the rest
# and those that take long.
@pytest.mark.parametrize(
    "page",
    [
        pytest.param(
            page,
            id=page.relative_to(ROOT).as_posix(),
            marks=pytest.mark.long
            if page.stem in SLOW or (page.parent.name in OF_A_KIND and page.stem not in AT_ONCE)
            else (),
        )
        for page in PAGES
    ],
)
def test_the_blocks_of_a_page_run(page: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scope = run(page)
    if page == ROOT / "README.md":
        the_first_example_is_right(scope, capsys.readouterr().out)


def the_first_example_is_right(scope: dict[str, Any], printed: str) -> None:
    """It finds what the exact posterior finds, in ten lines."""
    (block,) = BLOCK.findall((ROOT / "README.md").read_text(encoding="utf-8"))
    assert len(block.splitlines()) <= 11
    numbers = re.findall(r"[0-9.]+", printed.splitlines()[-1])
    found = np.array([float(number) for number in numbers])
    y = np.asarray(scope["y"])
    outlier = 0.1 * stats.norm.pdf(y, 0.0, 10.0)
    inlier = 0.9 * stats.norm.pdf(y, 0.0, 1.0)
    np.testing.assert_allclose(found, outlier / (outlier + inlier), atol=0.05)


EVERY_PAGE = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


def test_there_are_pages() -> None:
    """Were the pattern wrong, nothing would run."""
    assert {"README.md", "relax.md", "kl_rules.md", "schedules.md"} <= {p.name for p in PAGES}
    for page in EVERY_PAGE:
        text = page.read_text(encoding="utf-8")
        fences = re.findall(r"^ *(?:```|~~~)(.*)$", text, re.MULTILINE)
        # What is included from a file is tested where it stands.
        known = {"python", "{toctree}", "{eval-rst}", "{include}", "{literalinclude}"}
        assert {fence.split()[0] for fence in fences[::2] if fence} <= known, (
            f"{page} has a block that no test runs"
        )
        assert all(fences[::2]), f"{page} has a block that does not say what it is"
        assert fences.count("python") == len(BLOCK.findall(text)), page


def test_links_between_files_lead_somewhere() -> None:
    """Sphinx looks at those within docs/ only."""
    for page in EVERY_PAGE:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page}: {target}"


COMMAND = re.compile(r"^ {4}(python -m .*)$|`(python -m [^`]*)`", re.MULTILINE)
COMMANDS = sorted(
    {
        " ".join("".join(found).split())
        for page in EVERY_PAGE
        for found in COMMAND.findall(page.read_text(encoding="utf-8"))
    }
)


class _AcceptedError(Exception):
    pass


@pytest.mark.parametrize("command", [c for c in COMMANDS if "build" not in c])
def test_a_command_of_a_page_is_accepted(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The program is there, and takes these options; it is not run."""
    parse = argparse.ArgumentParser.parse_args

    def parse_and_stop(self: argparse.ArgumentParser, *args: Any) -> Any:
        raise _AcceptedError(parse(self, *args))

    _, _, module, *arguments = shlex.split(command)
    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", parse_and_stop)
    monkeypatch.setattr(sys, "argv", [module, *arguments])
    monkeypatch.setattr(os, "environ", dict(os.environ))  # Some programs set it as they start.
    monkeypatch.syspath_prepend(ROOT)
    with pytest.raises(_AcceptedError):
        runpy.run_module(module, run_name="__main__")
