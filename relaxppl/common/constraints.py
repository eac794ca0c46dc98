"""The supports that relaxations name, as far as they need no host, and which values they hold."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

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


class Support:
    """Values that a relaxation has: a mixin beside the host's class of constraints."""

    key: ClassVar[str]
    """Its name in the relaxations."""

    def holds(self, x: Array) -> Array:
        """Returns whether values belong to it, (*batch,)."""
        raise NotImplementedError


class Simplex(Support):
    """The simplex up to the rounding of a sum of K floats."""

    key = "simplex"
    event_dim = 1

    def holds(self, x: Array) -> Array:
        return on_simplex(x)


class LogSimplex(Support):
    """Logarithms of a point on the simplex."""

    key = "log_simplex"
    event_dim = 1

    def holds(self, x: Array) -> Array:
        return on_simplex(ops.exp(x))


class OneHot(Support):
    """One-hot vectors that carry a gradient."""

    key = "one_hot"
    event_dim = 1
    is_discrete = False

    def holds(self, x: Array) -> Array:
        return is_k_hot(x, 1)


class ScaledSimplex(Support):
    """Vectors of nonnegative numbers whose sum is k, up to rounding."""

    key = "scaled_simplex"
    event_dim = 1

    def __init__(self, k: int) -> None:
        self.k = k

    def holds(self, x: Array) -> Array:
        return on_simplex(x, self.k)

    def __repr__(self) -> str:
        return f"{type(self).__name__[1:]}(k={self.k})"


class KHot(ScaledSimplex):
    """Vectors of k ones and otherwise zeros, that may carry a gradient."""

    key = "k_hot"

    def holds(self, x: Array) -> Array:
        return is_k_hot(x, self.k)


class DiscreteKHot(KHot):
    """Vectors of k ones and otherwise zeros, without a gradient."""

    key = "discrete_k_hot"
    is_discrete = True


class Ordering(Support):
    """The integers 0, ..., n - 1 in any order."""

    key = "ordering"
    event_dim = 1
    is_discrete = True

    def __init__(self, n: int) -> None:
        self.n = n

    def __repr__(self) -> str:
        return f"Ordering(n={self.n})"


class AmongValues(Support):
    """One of the values (..., n), each of which may carry a gradient."""

    key = "among_values"

    def __init__(self, values: Array) -> None:
        self.values = values

    def holds(self, x: Array) -> Array:
        return (x[..., None] == self.values).any(-1)

    def __repr__(self) -> str:
        return f"AmongValues({self.values})"


class CorrelationMatrix(Support):
    """Symmetric positive definite matrices whose diagonal is one, up to rounding."""

    key = "correlation_matrix"
    event_dim = 2


class CorrelationCholesky(Support):
    """Lower-triangular matrices with a positive diagonal and rows of unit norm, up to rounding."""

    key = "correlation_cholesky"
    event_dim = 2


def table(constraints: Any, named: Mapping[str, Any], own: Iterable[Any]) -> dict[str, Any]:
    """Returns the constraints of a host from the keys that relaxations use.

    :param constraints: the host's module of constraints.
    :param named: by key, those that the host has not, or not as they are needed here.
    :param own: the same of those that have their key; classes where they take arguments.
    """
    own = {**named, **{each.key: each for each in own}}
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
