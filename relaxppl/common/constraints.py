"""Which values belong to the supports that relaxations name, and these supports by their keys."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from relaxppl import ops
from relaxppl.ops import Array


def on_simplex(x: Array, total: int = 1) -> Array:
    """Returns whether rows of nonnegative numbers have a sum, up to the rounding of K floats.

    :param x: (..., K).
    :param total: the sum.
    :returns: (...,).
    """
    tolerance = total * max(1e-6, x.shape[-1] * ops.eps(x))
    return (x >= 0).all(-1) & (abs(x.sum(-1) - total) <= tolerance)


def is_flag(x: Array) -> Array:
    """Returns whether numbers are exactly 0 or 1, of their shape."""
    return (x == 0) | (x == 1)


def is_k_hot(x: Array, k: int) -> Array:
    """Returns whether rows have k ones and otherwise zeros.

    :param x: (..., n).
    :returns: (...,).
    """
    return is_flag(x).all(-1) & (x.sum(-1) == k)


def is_among(x: Array, values: Array) -> Array:
    """Returns whether numbers are among n values.

    :param x: (...,).
    :param values: (..., n).
    :returns: (...,).
    """
    return (x[..., None] == values).any(-1)


def table(constraints: Any, own: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the constraints of a host from the keys that relaxations use.

    :param constraints: the host's module of constraints.
    :param own: those that the host has not, or not as they are needed here.
    """
    vector = {name: constraints.independent(own[name], 1) for name in ("one_hot", "simplex")}
    return {
        "positive": constraints.positive,
        "negative": constraints.less_than(0.0),
        "above_one": constraints.greater_than(1.0),
        "unit_interval": constraints.unit_interval,
        "unit_interval_vector": constraints.independent(constraints.unit_interval, 1),
        "positive_vector": constraints.independent(constraints.positive, 1),
        "real_matrices": constraints.independent(own["real"], 3),
        "one_hot_rows": vector["one_hot"],
        "simplex_rows": vector["simplex"],
        "discrete_one_hot_rows": constraints.independent(own["discrete_one_hot"], 1),
        "lower_cholesky": constraints.lower_cholesky,
        "positive_definite": constraints.positive_definite,
        "interval": constraints.interval,
        **own,
    }


def constraint(known: Mapping[str, Any], key: str | tuple[Any, ...]) -> Any:
    """Returns the constraint that a relaxation names.

    :param known: the host's, by key.
    :param key: a key, or a key with the arguments of its constraint.
    """
    if isinstance(key, tuple):
        return known[key[0]](*key[1:])
    return known[key]
