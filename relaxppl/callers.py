"""Which function of a host asks: the hosts put one question for purposes that differ."""

from __future__ import annotations

import inspect
from types import FrameType


def caller(module: str, function: str) -> FrameType | None:
    """Returns the innermost running frame of a function, or None where it is not running.

    :param module: the module that defines it.
    :param function: its name.
    """
    frame = inspect.currentframe()
    while frame is not None:
        if frame.f_code.co_name == function and frame.f_globals.get("__name__") == module:
            return frame
        frame = frame.f_back
    return None
