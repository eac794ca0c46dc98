"""The constraints that relaxations name, as torch's."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch.distributions import constraints

from relaxppl.common import constraints as common

_HALF = (torch.float16, torch.bfloat16)


def wide(value: Any) -> Any:
    """Returns a tensor of half precision as one of float32, and anything else as it is."""
    return value.float() if isinstance(value, torch.Tensor) and value.dtype in _HALF else value


class _Own(constraints.Constraint):
    """A constraint whose values the neutral half knows."""

    holds: Callable[..., Any]

    def check(self, value: Any) -> Any:
        return self.holds(value)


class _Simplex(common.Simplex, _Own): ...


class _LogSimplex(common.LogSimplex, _Own): ...


class _UnitIntervalWithAtoms(type(constraints.unit_interval)):  # type: ignore[misc]
    """The interval [0, 1], of a law that gives single values of it a probability of their own."""


class _ReparameterizedBoolean(constraints.Constraint):
    """Exactly 0 or 1, of a value that carries a gradient: hosts must not treat it as discrete."""

    is_discrete = False

    def check(self, value: Any) -> Any:
        return common.is_flag(value)


class _ReparameterizedOneHot(common.OneHot, _Own): ...


class _ScaledSimplex(common.ScaledSimplex, _Own): ...


class _KHot(common.KHot, _Own): ...


class _DiscreteKHot(common.DiscreteKHot, _Own): ...


class _Ordering(common.Ordering, _Own):
    def holds(self, value: Any) -> Any:
        return (value.sort(-1).values == torch.arange(self.n, device=value.device)).all(-1)


class _AmongValues(common.AmongValues, _Own): ...


class _FiniteReal(constraints.Constraint):
    """A real number: neither infinite nor NaN."""

    def check(self, value: Any) -> Any:
        # isfinite() takes twice as long.
        return value.detach().abs() < float("inf")


class _CorrelationMatrix(common.CorrelationMatrix, _Own):
    def holds(self, value: Any) -> Any:
        symmetric = ((value - value.mT).abs() < 1e-6).all(-1).all(-1)
        unit = ((value.diagonal(dim1=-2, dim2=-1) - 1.0).abs() < 1e-6).all(-1)
        return symmetric & unit & (torch.linalg.cholesky_ex(wide(value)).info == 0)


class _CorrelationCholesky(common.CorrelationCholesky, _Own):
    def holds(self, value: Any) -> Any:
        lower = (value.tril() == value).all(-1).all(-1)
        positive = (value.diagonal(dim1=-2, dim2=-1) > 0).all(-1)
        tolerance = max(1e-6, value.shape[-1] * torch.finfo(value.dtype).eps)
        return lower & positive & ((value.square().sum(-1) - 1.0).abs() < tolerance).all(-1)


_real = _FiniteReal()

CONSTRAINTS: dict[str, Any] = common.table(
    constraints,
    {
        "unit_interval_with_atoms": _UnitIntervalWithAtoms(0.0, 1.0),
        "real": _real,
        "real_vector": constraints.independent(_real, 1),
        "real_matrix": constraints.independent(_real, 2),
        "boolean": _ReparameterizedBoolean(),
        "discrete_one_hot": constraints.one_hot,
    },
    [
        *(_Simplex(), _LogSimplex(), _ReparameterizedOneHot()),
        *(_CorrelationMatrix(), _CorrelationCholesky()),
        *(_ScaledSimplex, _KHot, _DiscreteKHot, _Ordering, _AmongValues),
    ],
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
