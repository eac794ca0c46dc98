"""The constraints that relaxations name, as torch's."""

from __future__ import annotations

from typing import Any

import torch
from torch.distributions import constraints

_HALF = (torch.float16, torch.bfloat16)


def wide(value: Any) -> Any:
    """Returns a tensor of half precision as one of float32, and anything else as it is."""
    return value.float() if isinstance(value, torch.Tensor) and value.dtype in _HALF else value


class _Simplex(constraints.Constraint):
    """The simplex up to the rounding of a sum of K floats."""

    event_dim = 1

    def check(self, value: Any) -> Any:
        error = (value.sum(-1) - 1.0).abs()
        tolerance = max(1e-6, value.shape[-1] * torch.finfo(value.dtype).eps)
        return (value >= 0).all(-1) & (error <= tolerance)


class _LogSimplex(constraints.Constraint):
    """Logarithms of a point on the simplex."""

    event_dim = 1

    def check(self, value: Any) -> Any:
        return _simplex.check(value.exp())


class _UnitIntervalWithAtoms(type(constraints.unit_interval)):  # type: ignore[misc]
    """The interval [0, 1], of a law that gives single values of it a probability of their own."""


class _ReparameterizedBoolean(constraints.Constraint):
    """Exactly 0 or 1, of a value that carries a gradient: hosts must not treat it as discrete."""

    is_discrete = False

    def check(self, value: Any) -> Any:
        return (value == 0) | (value == 1)


class _ReparameterizedOneHot(constraints.Constraint):
    """Exactly one-hot vectors that carry a gradient."""

    event_dim = 1
    is_discrete = False

    def check(self, value: Any) -> Any:
        return ((value == 0) | (value == 1)).all(-1) & (value.sum(-1) == 1)


class _ScaledSimplex(constraints.Constraint):
    """Vectors of nonnegative numbers whose sum is k, up to rounding."""

    event_dim = 1

    def __init__(self, k: int) -> None:
        self.k = k

    def check(self, value: Any) -> Any:
        error = (value.sum(-1) - self.k).abs()
        tolerance = self.k * max(1e-6, value.shape[-1] * torch.finfo(value.dtype).eps)
        return (value >= 0).all(-1) & (error <= tolerance)

    def __repr__(self) -> str:
        return f"{type(self).__name__[1:]}(k={self.k})"


class _KHot(_ScaledSimplex):
    """Vectors of k ones and otherwise zeros, that may carry a gradient."""

    def check(self, value: Any) -> Any:
        return ((value == 0) | (value == 1)).all(-1) & (value.sum(-1) == self.k)


class _DiscreteKHot(_KHot):
    """Vectors of k ones and otherwise zeros, without a gradient."""

    is_discrete = True


class _Ordering(constraints.Constraint):
    """The integers 0, ..., n - 1 in any order."""

    event_dim = 1
    is_discrete = True

    def __init__(self, n: int) -> None:
        self.n = n
        super().__init__()

    def check(self, value: Any) -> Any:
        return (value.sort(-1).values == torch.arange(self.n, device=value.device)).all(-1)

    def __repr__(self) -> str:
        return f"Ordering(n={self.n})"


class _AmongValues(constraints.Constraint):
    """One of the values (..., n), each of which may carry a gradient."""

    def __init__(self, values: Any) -> None:
        self.values = values
        super().__init__()

    def check(self, value: Any) -> Any:
        return (value.unsqueeze(-1) == self.values).any(-1)

    def __repr__(self) -> str:
        return f"AmongValues({self.values})"


class _FiniteReal(constraints.Constraint):
    """A real number: neither infinite nor NaN."""

    def check(self, value: Any) -> Any:
        # isfinite() takes twice as long.
        return value.detach().abs() < float("inf")


class _CorrelationMatrix(constraints.Constraint):
    """Symmetric positive definite matrices whose diagonal is one, up to rounding."""

    event_dim = 2

    def check(self, value: Any) -> Any:
        symmetric = ((value - value.mT).abs() < 1e-6).all(-1).all(-1)
        unit = ((value.diagonal(dim1=-2, dim2=-1) - 1.0).abs() < 1e-6).all(-1)
        return symmetric & unit & (torch.linalg.cholesky_ex(wide(value)).info == 0)


class _CorrelationCholesky(constraints.Constraint):
    """Lower-triangular matrices with a positive diagonal and rows of unit norm, up to rounding."""

    event_dim = 2

    def check(self, value: Any) -> Any:
        lower = (value.tril() == value).all(-1).all(-1)
        positive = (value.diagonal(dim1=-2, dim2=-1) > 0).all(-1)
        tolerance = max(1e-6, value.shape[-1] * torch.finfo(value.dtype).eps)
        return lower & positive & ((value.square().sum(-1) - 1.0).abs() < tolerance).all(-1)


_simplex = _Simplex()
_real = _FiniteReal()

CONSTRAINTS: dict[str, Any] = {
    "positive": constraints.positive,
    "negative": constraints.less_than(0.0),
    "above_one": constraints.greater_than(1.0),
    "unit_interval": constraints.unit_interval,
    "unit_interval_with_atoms": _UnitIntervalWithAtoms(0.0, 1.0),
    "unit_interval_vector": constraints.independent(constraints.unit_interval, 1),
    "real": _real,
    "real_vector": constraints.independent(_real, 1),
    "simplex": _simplex,
    "log_simplex": _LogSimplex(),
    "boolean": _ReparameterizedBoolean(),
    "one_hot": _ReparameterizedOneHot(),
    "discrete_one_hot": constraints.one_hot,
    "positive_vector": constraints.independent(constraints.positive, 1),
    "correlation_matrix": _CorrelationMatrix(),
    "correlation_cholesky": _CorrelationCholesky(),
    "real_matrix": constraints.independent(_real, 2),
    "real_matrices": constraints.independent(_real, 3),
    "one_hot_rows": constraints.independent(_ReparameterizedOneHot(), 1),
    "simplex_rows": constraints.independent(_simplex, 1),
    "discrete_one_hot_rows": constraints.independent(constraints.one_hot, 1),
    "lower_cholesky": constraints.lower_cholesky,
    "positive_definite": constraints.positive_definite,
    # Those below take arguments: see constraint().
    "interval": constraints.interval,
    "scaled_simplex": _ScaledSimplex,
    "k_hot": _KHot,
    "discrete_k_hot": _DiscreteKHot,
    "ordering": _Ordering,
    "among_values": _AmongValues,
}
"""From a key of ``relaxppl.relaxations`` to the host's constraint."""


def satisfied(requirement: Any, value: torch.Tensor) -> bool:
    """Returns whether all of a parameter is as it must be, in one pass where that is enough."""
    while isinstance(requirement, constraints.independent):
        # All of it is asked for: by rows first is slower.
        requirement = requirement.base_constraint
    plain = value.detach()
    if plain.numel() > 0:
        # The comparison of every element, and the conjunction of what it gives, takes ten times as
        # long as a sum or an extreme. A finite sum has finite terms; a NaN is every extreme.
        if requirement is _real and torch.isfinite(plain.sum()):
            return True
        if requirement is constraints.positive:
            return bool(plain.amin() > 0)
        if requirement is constraints.unit_interval:
            return bool((plain.amin() >= 0) & (plain.amax() <= 1))
    if requirement is constraints.positive_definite:
        value = wide(value)
    return bool(requirement.check(value).all())


def constraint(key: str | tuple[Any, ...]) -> Any:
    """Returns the constraint that a relaxation names: a key, or a key with its arguments."""
    if isinstance(key, tuple):
        return CONSTRAINTS[key[0]](*key[1:])
    return CONSTRAINTS[key]
