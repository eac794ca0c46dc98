"""Output files that appear all together, complete, or not at all."""

import importlib.metadata
import json
import os
import platform
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import relaxppl
from models.common.cli import BadArgumentError


@contextmanager
def written_together(out: Path) -> Iterator[Path]:
    """Collect files in a temporary folder and move them to `out` when the block ends well.

    :param out: the folder that shall hold the files; made if missing, other files in it stay.
    :yields: The folder to write into. If the block raises, it is removed and `out` is as before.
    :raises BadArgumentError: `--out` cannot be written.
    """
    target = out.resolve()
    made: list[Path] = []
    try:
        folder = target.parent
        while not folder.exists():
            made.append(folder)
            folder = folder.parent
        target.parent.mkdir(parents=True, exist_ok=True)
        # Beside the target, because a move is atomic only within one file system.
        staging = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    except OSError as error:
        raise BadArgumentError("--out", f"{out} cannot be written ({error.strerror})") from None
    try:
        yield staging
        staging.chmod(0o755)
        if target.exists():
            for path in sorted(staging.iterdir()):
                os.replace(path, target / path.name)
            staging.rmdir()
        else:
            os.replace(staging, target)
    except BaseException as error:
        shutil.rmtree(staging, ignore_errors=True)
        for folder in made:
            with suppress(OSError):
                folder.rmdir()
        if isinstance(error, OSError):
            raise BadArgumentError("--out", f"{out} cannot be written ({error.strerror})") from None
        raise


def write_metrics(path: Path, metrics: Mapping[str, Any]) -> None:
    """Write a JSON file of plain numbers and strings, keys in the order given."""
    path.write_text(json.dumps(metrics, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def versions(*packages: str) -> dict[str, str]:
    """The installed versions of packages, Python's and relaxppl's own, for metrics files."""
    found = {"python": platform.python_version(), "relaxppl": relaxppl.__version__}
    for package in packages:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
