"""The Pareto k-hat of a fit: how well the guide's draws could stand for the posterior's."""

from __future__ import annotations

from typing import Any

import numpy as np

from relaxppl.common.arviz.tree import is_inference_data, require


def pareto_k(data: Any) -> float:
    """Returns the shape k-hat of the generalised Pareto tail of the importance weights p/q.

    Below 0.5 the draws are as good as the posterior's once weighted, above 0.7 they are not to be
    trusted, weighted or not.

    :param data: what ``to_arviz`` returned.
    :returns: k-hat; negative infinity where the largest weight is so common that it fills the tail,
        as with an exact guide; infinity where too few draws lie in the tail to fit it.
    :raises ImportError: if ArviZ is not installed.
    :raises ValueError: if the weights are absent; the message says why.

    Yao et al., 2018 (arXiv:1802.02538); Vehtari et al., 2024 (arXiv:1507.02646).
    """
    stats = data["sample_stats"]
    if "log_weight" not in stats:
        reason = stats.attrs.get("no_log_weight", "it was not made by to_arviz")
        raise ValueError(f"pareto_k: sample_stats has no log_weight: {reason}")
    weights = stats["log_weight"].values.astype(np.float64)
    return float(smoothed(weights.reshape(-1, 1))[1][0])


def smoothed(log_weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns log weights whose largest are those of a Pareto tail, and its shape k-hat.

    :param log_weights: (draws, columns); each column is smoothed by itself.
    :returns: log weights of the same shape, known up to a constant for each column, and k-hat,
        (columns,); a column with k-hat negative infinity, or whose largest weights are those of
        few values of a discrete guide, is left as it is.
    :raises ImportError: if ArviZ is not installed.
    """
    arviz, xarray = require()
    k = np.full(log_weights.shape[1], -np.inf)
    made = log_weights.copy()
    rest = [i for i, column in enumerate(log_weights.T) if not _largest_is_common(column)]
    if not rest:
        return made, k
    columns = log_weights[:, rest]
    if is_inference_data(arviz):
        found, k[rest] = arviz.psislw(columns.T)
        return _unless_tied(made, found.T, rest), k
    # That of 1.x takes the negative: it is written for leave-one-out, of log likelihoods. Where too
    # few draws lie in the tail it says NaN.
    array = xarray.DataArray(-columns[None], dims=("chain", "draw", "column"))
    found, shape = array.azstats.psislw()
    made = _unless_tied(made, found.transpose("chain", "draw", "column").values[0], rest)
    k[rest] = shape.values
    finite = np.isfinite(log_weights).all(axis=0)
    return made, np.where(np.isnan(k) & finite, np.inf, k)


def _largest_is_common(log_weights: np.ndarray) -> bool:
    """Returns whether the largest weight fills the whole tail that is to be fitted.

    Few values of a discrete guide have few weights; then the tail has no spread, and ArviZ says
    infinity where in truth the weights are bounded by one that is often drawn.
    """
    return bool(log_weights.max() - _tail(log_weights)[0] < 1e-4)


def _tail(log_weights: np.ndarray) -> np.ndarray:
    """Returns the largest log weights, in order, and the one below those that are fitted."""
    count = len(log_weights)
    tail = int(np.ceil(min(0.2 * count, 3.0 * count**0.5)))
    return np.sort(log_weights)[max(0, count - tail - 1) :]


def _unless_tied(raw: np.ndarray, smooth: np.ndarray, columns: list[int]) -> np.ndarray:
    """Returns raw log weights with smoothed columns, but for those whose tail is of ties.

    Draws of one value of a discrete guide have one weight. Smoothing would give them different
    ones, and take from the values with the largest what is theirs.
    """
    made = raw.copy()
    for at, column in enumerate(columns):
        tail = _tail(raw[:, column])
        if 2 * len(np.unique(np.round(tail, 4))) > len(tail):
            made[:, column] = smooth[:, at]
    return made
