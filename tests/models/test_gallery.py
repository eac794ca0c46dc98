"""The gallery's runs: a page's numbers have a command here, and what was cut off goes on."""

from __future__ import annotations

import json
import re
import shlex
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from models.studies import gallery

PAGES = Path(__file__).parents[2] / "docs" / "gallery"
NUMBER = re.compile(r"(?<![\w.(])[+\u2212-]?\d+\.\d+(?![\w.]*\w)")


def numbers(value: Any) -> list[float]:
    """Every number in a metrics file."""
    if isinstance(value, dict | list):
        each = value.values() if isinstance(value, dict) else value
        return [number for item in each for number in numbers(item)]
    return [float(value)] if isinstance(value, int | float) else []


def made_by(command: str) -> dict[str, Any]:
    """What a command has left beside its pictures."""
    arguments = shlex.split(command)
    folder = PAGES.parents[1] / arguments[arguments.index("--out") + 1]
    return json.loads((folder / "metrics.json").read_text())


@pytest.mark.parametrize("name", gallery.RUNS)
def test_a_run_makes_what_its_page_shows(name: str) -> None:
    command, _ = gallery.RUNS[name]
    assert made_by(command)["command"] == f"python -m {command}"
    pages = [path.read_text() for path in PAGES.parent.rglob("*.md")]
    (page,) = [text for text in pages if f"    python -m {command}\n" in text]
    if name.startswith("belief_network"):
        # Its tables have columns from elsewhere.
        return
    # What stands in the page's tables is what its runs found, rounded.
    commands = [other for other, _ in gallery.RUNS.values() if f"python -m {other}\n" in page]
    found = [number for other in commands for number in numbers(made_by(other))]
    for line in page.splitlines():
        for written in NUMBER.findall(line) if line.startswith("| ") else []:
            half = Decimal(10) ** -len(written.split(".")[1]) * Decimal("0.51")
            value = Decimal(written.replace("\u2212", "-"))
            assert any(abs(Decimal(number) - value) <= half for number in found), written


def test_what_is_done_is_not_run_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = {name: (f"models.studies.{name} --quiet", 2.0) for name in ("a", "b", "c")}
    monkeypatch.setattr(gallery, "RUNS", runs)
    ran: list[str] = []

    def run(command: list[str], **_: Any) -> Any:
        name = command[2].split(".")[-1]
        ran.append(name)
        if ran == ["a", "b"]:
            raise KeyboardInterrupt
        return SimpleNamespace(returncode=0)

    monkeypatch.setattr(gallery.subprocess, "run", run)
    options = ["--keep", str(tmp_path / "kept")]
    assert gallery.main(options) == 130
    assert "3 runs, about 6 minutes on one core" in capsys.readouterr().out
    assert gallery.main(options) == 0
    assert "2 runs, about 4 minutes on one core, 1 done before" in capsys.readouterr().out
    assert ran == ["a", "b", "b", "c"]
    # When all is done, the next time begins afresh.
    assert gallery.main([*options, "--plan"]) == 0
    assert "3 runs" in capsys.readouterr().out


def test_an_unknown_run_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert gallery.main(["--only", "magic"]) == 2
    assert "'magic' is unknown; choose from" in capsys.readouterr().err
