"""The constraints that relaxations name, as torch's."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch.distributions import constraints

from relaxppl.common import constraints as common

_HALF = (torch.float16, torch.bfloat16)


def wide(value: Any) -> Any:
    """Returns a tensor of half precision as one of float32, and anything else as it is."""
    return value.float() if isinstance(value, torch.Tensor) and value.dtype in _HALF else value


class _Simplex(constraints.Constraint):
    """The simplex up to the rounding of a sum of K floats."""

    event_dim = 1

    def check(self, value: Any) -> Any:
        return common.on_simplex(value)


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
        return common.is_flag(value)


class _ReparameterizedOneHot(constraints.Constraint):
    """Exactly one-hot vectors that carry a gradient."""

    event_dim = 1
    is_discrete = False

    def check(self, value: Any) -> Any:
        return common.is_k_hot(value, 1)


class _ScaledSimplex(constraints.Constraint):
    """Vectors of nonnegative numbers whose sum is k, up to rounding."""

    event_dim = 1

    def __init__(self, k: int) -> None:
        self.k = k

    def check(self, value: Any) -> Any:
        return common.on_simplex(value, self.k)

    def __repr__(self) -> str:
        return f"{type(self).__name__[1:]}(k={self.k})"


class _KHot(_ScaledSimplex):
    """Vectors of k ones and otherwise zeros, that may carry a gradient."""

    def check(self, value: Any) -> Any:
        return common.is_k_hot(value, self.k)


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
        return common.is_among(value, self.values)

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

CONSTRAINTS: dict[str, Any] = common.table(
    constraints,
    {
        "unit_interval_with_atoms": _UnitIntervalWithAtoms(0.0, 1.0),
        "real": _real,
        "real_vector": constraints.independent(_real, 1),
        "real_matrix": constraints.independent(_real, 2),
        "simplex": _simplex,
        "log_simplex": _LogSimplex(),
        "boolean": _ReparameterizedBoolean(),
        "one_hot": _ReparameterizedOneHot(),
        "discrete_one_hot": constraints.one_hot,
        "correlation_matrix": _CorrelationMatrix(),
        "correlation_cholesky": _CorrelationCholesky(),
        # These take arguments.
        "scaled_simplex": _ScaledSimplex,
        "k_hot": _KHot,
        "discrete_k_hot": _DiscreteKHot,
        "ordering": _Ordering,
        "among_values": _AmongValues,
    },
)
"""From a key of ``relaxppl.relaxations`` to the host's constraint."""

constraint = partial(common.constraint, CONSTRAINTS)


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
