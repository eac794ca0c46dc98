"""What every program of models/ does with an argument that it cannot take."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest


def check_refusal(
    cli: ModuleType, arguments: list[str], allowed: str, folder: Path, capsys: pytest.CaptureFixture
) -> None:
    """One line says what is allowed, and nothing is written."""
    assert cli.main([*arguments, "--out", str(folder / "out")]) == 2
    captured = capsys.readouterr().err
    assert captured.count("\n") == 1
    assert allowed in captured
    assert list(folder.iterdir()) == []
