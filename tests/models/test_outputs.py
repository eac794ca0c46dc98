"""Output files appear all together or not at all."""

import json
from pathlib import Path

import numpy as np
import pytest

from models.common.cli import BadArgumentError
from models.common.outputs import write_metrics, written_together


def test_files_appear_together_and_others_stay(tmp_path: Path) -> None:
    out = tmp_path / "a" / "b"
    with written_together(out) as folder:
        (folder / "one").write_text("1")
        assert not out.exists()
    assert (out / "one").read_text() == "1"
    (out / "kept").write_text("k")
    with written_together(out) as folder:
        (folder / "one").write_text("2")
        (folder / "two").write_text("2")
        assert (out / "one").read_text() == "1"
    assert {p.name: p.read_text() for p in out.iterdir()} == {"one": "2", "two": "2", "kept": "k"}
    assert [p.name for p in out.parent.iterdir()] == ["b"]


@pytest.mark.parametrize("error", [RuntimeError("no"), KeyboardInterrupt()])
def test_nothing_is_left_of_a_failure(tmp_path: Path, error: BaseException) -> None:
    def fail(folder: Path) -> None:
        (folder / "half").write_text("half")
        raise error

    with pytest.raises(type(error)), written_together(tmp_path / "new" / "out") as folder:
        fail(folder)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_one_line_about_out(tmp_path: Path) -> None:
    with (
        pytest.raises(BadArgumentError, match=r"--out: .* cannot be written \(No space left"),
        written_together(tmp_path / "out"),
    ):
        raise OSError(28, "No space left on device")
    assert list(tmp_path.iterdir()) == []


def test_metrics_are_strict_json(tmp_path: Path) -> None:
    write_metrics(tmp_path / "m.json", {"b": 1.5, "a": "x"})
    assert list(json.loads((tmp_path / "m.json").read_text())) == ["b", "a"]
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_metrics(tmp_path / "m.json", {"b": np.nan})
