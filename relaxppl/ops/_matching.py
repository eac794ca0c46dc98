"""Linear assignment, by SciPy: neither backend has it."""

from __future__ import annotations

from typing import Any

import numpy as np


def best_columns(scores: Any) -> np.ndarray:
    """Returns the column of each row in the matching of largest sum.

    :param scores: (..., n, n).
    :returns: integers, (..., n).
    :raises ImportError: without SciPy.
    """
    try:
        from scipy.optimize import linear_sum_assignment
    except ImportError as error:
        raise ImportError(
            "GumbelSinkhorn needs SciPy for a hard matching, which the extras bring: "
            'pip install "relaxppl[pyro]"'
        ) from error
    scores = np.asarray(scores)
    found = np.empty(scores.shape[:-1], np.int32)
    for index in np.ndindex(scores.shape[:-2]):
        found[index] = linear_sum_assignment(scores[index], maximize=True)[1]
    return found
