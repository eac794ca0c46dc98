"""The tables of the benchmarks: cells, ratios, and a first line that names no machine."""

from __future__ import annotations

import sys

import pytest

from tests.benchmarks import table, turns


def test_markdown_aligns_figures_to_the_right():
    assert table.markdown(["", "ms"], [["REBAR", 1.5], ["score", None]]) == (
        "|       |  ms |\n| ----- | --: |\n| REBAR | 1.5 |\n| score |     |"
    )


def test_a_row_of_another_length_is_refused():
    with pytest.raises(ValueError, match="zip"):
        table.markdown(["", "ms"], [["REBAR"]])


def test_spread():
    assert table.spread([1.0, 4.0, 2.0]) == "2.00 (1.00-4.00)"


def test_what_is_kept_names_the_command_and_the_versions_but_no_path(tmp_path, monkeypatch):
    monkeypatch.setattr(table, "FOLDER", tmp_path / "benchmarks")
    monkeypatch.setattr(sys, "argv", ["x", "--python", str(tmp_path / "env" / "python"), "--write"])
    kept = table.write("mine", "| a |\n", {"other": "3.2"}).read_text()
    first, empty, *rest = kept.splitlines()
    assert "--python python --write`" in first
    assert "other 3.2; " in first
    assert str(tmp_path) not in kept
    assert (empty, rest) == ("", ["| a |"])


def test_a_turn_lasts_as_long_as_asked(monkeypatch):
    now, calls = 0.0, [0, 0]

    def run(which: int, seconds: float) -> None:
        nonlocal now
        now += seconds
        calls[which] += 1

    monkeypatch.setattr(turns.time, "process_time", lambda: now)
    runs = [lambda: run(0, 0.25), lambda: run(1, 0.5)]
    found = turns.seconds(runs, 3, warm=1, at_least=1.0)
    assert found.tolist() == [[0.25, 0.5]] * 3
    assert calls == [1 + 3 * 4] * 2
