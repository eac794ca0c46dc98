"""Expansions that neither backend has, in plain arithmetic."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

FAR_TAIL = -14.0
"""Below this the thirteen terms of :func:`log_ndtr_tail` have float64's precision."""


def log_ndtr_tail(x: Any, log: Callable[[Any], Any]) -> Any:
    """Returns log Phi(x) for x <= FAR_TAIL, by the asymptotic series of Mills' ratio."""
    r = 1.0 / (x * x)
    series = 1.0
    for odd in range(25, 0, -2):
        series = 1.0 - odd * r * series
    return -0.5 * x * x - log(-x) - 0.9189385332046727 + log(series)
