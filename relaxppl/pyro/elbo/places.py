"""Where in a program a value is read."""

from __future__ import annotations

import inspect
import os
from typing import Any

import pyro
import torch

_TORCH = os.path.dirname(torch.__file__) + os.sep
_PYRO = os.path.dirname(pyro.__file__) + os.sep
_OURS = os.path.dirname(os.path.dirname(os.path.dirname(__file__))) + os.sep
_LAWS = (os.path.join(_TORCH, "distributions"), os.path.join(_PYRO, "distributions"))
_MACHINERY = tuple(os.path.join(_PYRO, part) for part in ("poutine", "infer", "util.py"))
_CHECKS = ("__init__", "_validate_sample")
_HERE = os.path.dirname(__file__)
_WATCHING = (__file__, os.path.join(_HERE, "dependence.py"), os.path.join(_HERE, "scripts.py"))
"""The tracker, which every reading passes through."""

IN_LAW = "inside a distribution"


def reading_place() -> str | None:
    """Returns the line of the program that reads a value; None for a check of the host's."""
    frame: Any = inspect.currentframe()
    while frame is not None:
        code = frame.f_code
        file = code.co_filename
        if file.startswith(_LAWS):
            if code.co_name in _CHECKS:
                return None
            caller = frame.f_back
            while caller is not None and caller.f_code.co_filename.startswith((_TORCH, *_LAWS)):
                if caller.f_code.co_name in _CHECKS and caller.f_code.co_filename.startswith(_LAWS):
                    return None
                caller = caller.f_back
            return IN_LAW
        if file.startswith(_MACHINERY):
            return None
        if file.startswith(_OURS) and file not in _WATCHING:
            return None
        if not file.startswith(_TORCH) and file not in _WATCHING:
            return f"{file}:{frame.f_lineno}"
        frame = frame.f_back
    return "an unknown place"
