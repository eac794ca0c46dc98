"""How far a mean of draws lies from what it should be."""

from __future__ import annotations

from typing import Any

import numpy as np

ROUNDING = 100.0
"""Units in the last place by which one draw of an exact estimator may be off."""


def distance(gap: Any, variance: Any, draws: int, truth: Any) -> float:
    """The largest distance of means from the truth, in standard errors.

    What nothing random reaches has no standard error: there it is in the rounding of one draw.

    :param gap: the mean of the draws less the truth; the other way round, the rounding of the
        sum would count too.
    :param variance: of one draw, like gap.
    :param draws: how many there are.
    :param truth: what the mean should be.
    """
    gap, variance, truth = (np.asarray(x) for x in (gap, variance, truth))
    rounding = max(1e-9, ROUNDING * float(np.finfo(gap.dtype).eps))
    floor = rounding * np.maximum(1.0, np.abs(truth))
    return float(np.max(np.abs(gap) / np.maximum(np.sqrt(variance / draws), floor)))
