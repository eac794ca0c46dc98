"""What stops a law from having a bijection with the real line, and who asks a host for one."""

from __future__ import annotations

import inspect
from types import FrameType

ATOMS = (
    "this law has atoms, values with a probability of their own, and what moves on the real line, "
    "a sampler or an autoguide, never meets one. Ways out: SVI with a guide whose site is of the "
    "same class; a discrete site, which the host sums; or, of a value that is clipped, the "
    "continuous variable below it as the site (Normal, LogitRelaxedBernoulli) and the clipped "
    "value as a function of it"
)
NO_DENSITY = (
    "this law has no density, which a sampler or an autoguide needs: its log_prob says what to "
    "take instead"
)


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
