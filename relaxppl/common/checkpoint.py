"""A training that goes on: what is in its file, and what is refused of one."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

Shape = tuple[int, ...]


def check(every: Any, checkpoint: Any) -> Path | None:
    """Returns the path of a checkpoint, if there is to be one.

    :param every: after how many steps it is saved.
    :param checkpoint: a path or None.
    :raises ValueError: if ``every`` is no whole number from one.
    :raises FileNotFoundError: if the folder is not there.
    """
    if isinstance(every, bool) or not isinstance(every, (int, np.integer)) or every < 1:
        raise ValueError(f"fit: checkpoint_every must be a whole number from 1, got {every!r}")
    if checkpoint is None:
        return None
    path = Path(checkpoint)
    if not path.parent.is_dir():
        raise FileNotFoundError(f"fit: the folder of the checkpoint {str(path)!r} is not there")
    return path


def write(path: Path, save: Callable[[BinaryIO], None]) -> None:
    """Writes a file whole or not at all.

    :param path: the file; what is there is replaced.
    :param save: writes to an open file.
    """
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            save(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def pack(arrays: Mapping[str, Any]) -> tuple[dict[str, np.ndarray], str]:
    """Returns arrays as bytes, and what they are made of again, as text.

    NumPy's own files know no half precision of accelerators.

    :param arrays: by name.
    """
    kept = {name: np.asarray(x) for name, x in arrays.items()}
    meta = [[name, x.dtype.name, list(x.shape)] for name, x in kept.items()]
    raw = {f"a{i}": np.frombuffer(x.tobytes(), np.uint8) for i, x in enumerate(kept.values())}
    return raw, json.dumps(meta)


def unpack(raw: Mapping[str, Any], meta: str, dtype: Callable[[str], Any]) -> dict[str, np.ndarray]:
    """Returns the arrays that :func:`pack` was given.

    :param dtype: from a name to a dtype.
    """
    return {
        name: np.frombuffer(np.asarray(raw[f"a{i}"]).tobytes(), dtype(kind)).reshape(shape)
        for i, (name, kind, shape) in enumerate(json.loads(meta))
    }


def compare(path: Path, saved: Mapping[str, Shape], own: Mapping[str, Shape]) -> None:
    """Refuses the checkpoint of another program.

    :param saved: the shapes in the file, by name.
    :param own: those of this program.
    :raises ValueError: naming what differs.
    """
    for name in [*saved, *own]:
        if name not in own:
            what = f"it has {name!r}, which this one has not"
        elif name not in saved:
            what = f"it has no {name!r}"
        elif tuple(saved[name]) != tuple(own[name]):
            what = f"its {name!r} has the shape {tuple(saved[name])}, here {tuple(own[name])}"
        else:
            continue
        raise ValueError(
            f"fit: the checkpoint {str(path)!r} is of another program: {what}. Give another path, "
            "or delete the file to begin anew"
        )


def check_steps(path: Path, done: int, wanted: int) -> None:
    """Refuses a checkpoint that has gone further than is asked for.

    :raises ValueError: naming both numbers.
    """
    if done > wanted:
        raise ValueError(
            f"fit: the checkpoint {str(path)!r} has taken {done} steps, more than num_steps="
            f"{wanted}: num_steps counts those of the file too"
        )
