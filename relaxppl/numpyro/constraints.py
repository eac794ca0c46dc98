"""The constraints that relaxations name, as NumPyro's."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from numpyro.distributions import constraints


class _Simplex(type(constraints.simplex)):  # type: ignore[misc]
    """The simplex up to the rounding of a sum of K floats."""

    def __call__(self, x: Any) -> Any:
        x = jnp.asarray(x)
        error = jnp.abs(jnp.sum(x, axis=-1) - 1.0)
        tolerance = max(1e-6, x.shape[-1] * float(jnp.finfo(x.dtype).eps))
        return jnp.all(x >= 0, axis=-1) & (error <= tolerance)


class _LogSimplex(constraints.ParameterFreeConstraint):
    """Logarithms of a point on the simplex."""

    event_dim = 1

    def __call__(self, x: Any) -> Any:
        return _simplex(jnp.exp(x))

    def feasible_like(self, prototype: Any) -> Any:
        return jnp.full_like(prototype, -jnp.log(prototype.shape[-1]))


class _ReparameterizedBoolean(type(constraints.boolean)):  # type: ignore[misc]
    """Exactly 0 or 1, of a value that carries a gradient: hosts must not treat it as discrete."""

    is_discrete = False


class _OneHot(constraints.ParameterFreeConstraint):
    """One-hot vectors."""

    event_dim = 1
    is_discrete = True

    def __call__(self, x: Any) -> Any:
        return jnp.all((x == 0) | (x == 1), axis=-1) & (jnp.sum(x, axis=-1) == 1)

    def feasible_like(self, prototype: Any) -> Any:
        return jnp.zeros_like(prototype).at[..., 0].set(1)


class _ReparameterizedOneHot(_OneHot):
    """Exactly one-hot vectors that carry a gradient."""

    is_discrete = False


_simplex = _Simplex()
one_hot = _OneHot()

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
