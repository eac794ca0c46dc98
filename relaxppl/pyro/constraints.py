"""The constraints that relaxations name, as torch's."""

from __future__ import annotations

from typing import Any

import torch
from torch.distributions import constraints


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


_simplex = _Simplex()

CONSTRAINTS: dict[str, Any] = {
    "positive": constraints.positive,
    "unit_interval": constraints.unit_interval,
    "real": constraints.real,
    "real_vector": constraints.real_vector,
    "simplex": _simplex,
    "log_simplex": _LogSimplex(),
    "boolean": _ReparameterizedBoolean(),
    "one_hot": _ReparameterizedOneHot(),
}
"""From a key of ``relaxppl.relaxations`` to the host's constraint."""
