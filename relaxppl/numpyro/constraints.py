"""The constraints that relaxations name, as NumPyro's."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from numpyro.distributions import constraints

from relaxppl.common import constraints as common

_HALF = (jnp.float16, jnp.bfloat16)


def wide(value: Any) -> Any:
    """Returns an array of half precision as one of float32, and anything else as it is."""
    half = isinstance(value, jax.Array) and value.dtype in _HALF
    return value.astype(jnp.float32) if half else value


class _Singleton(constraints.ParameterFreeConstraint):
    """A constraint without parameters, of which there is one instance, as of the host's."""

    _instance: ClassVar[Any]

    def __new__(cls) -> Any:
        if "_instance" not in cls.__dict__:
            cls._instance = super().__new__(cls)
        return cls._instance

    def eq(self, other: object, static: bool = False) -> Any:
        return self is other


class _Atomic(constraints.Constraint):
    """What continuous inference cannot move on: values with a probability of their own.

    The host names the site that it refuses where the constraint calls itself boolean.
    """

    def __repr__(self) -> str:
        return f"{super().__repr__()}, with atoms as boolean"


class _Own(constraints.Constraint):
    """A constraint whose values the neutral half knows, called as the host's are."""

    holds: Callable[..., Any]

    def __call__(self, x: Any) -> Any:
        return self.holds(jnp.asarray(x))


class _Simplex(common.Simplex, _Own, type(constraints.simplex)):  # type: ignore[misc]
    """The host's, up to rounding: what it does for its own it does for this one."""


class _LogSimplex(common.LogSimplex, _Own, _Singleton):
    def feasible_like(self, prototype: Any) -> Any:
        return jnp.full_like(prototype, -jnp.log(prototype.shape[-1]))


class _UnitIntervalWithAtoms(_Atomic, type(constraints.unit_interval)):  # type: ignore[misc]
    """The interval [0, 1], of a law that gives single values of it a probability of their own."""

    def eq(self, other: object, static: bool = False) -> Any:
        return self is other


class _ReparameterizedBoolean(type(constraints.boolean)):  # type: ignore[misc]
    """Exactly 0 or 1, of a value that carries a gradient: hosts must not treat it as discrete."""

    is_discrete = False


class _ReparameterizedOneHot(_Atomic, common.OneHot, _Own, _Singleton):
    def feasible_like(self, prototype: Any) -> Any:
        return jnp.zeros_like(prototype).at[..., 0].set(1)


class _OneHot(_ReparameterizedOneHot):
    """One-hot vectors."""

    is_discrete = True


class _ScaledSimplex(common.ScaledSimplex, _Own):
    def feasible_like(self, prototype: Any) -> Any:
        return jnp.full_like(prototype, self.k / prototype.shape[-1])

    def eq(self, other: object, static: bool = False) -> Any:
        return type(self) is type(other) and self.k == other.k  # type: ignore[attr-defined]

    def tree_flatten(self) -> Any:
        return (), ((), {"k": self.k})


class _KHot(_Atomic, common.KHot, _ScaledSimplex):
    def feasible_like(self, prototype: Any) -> Any:
        return jnp.zeros_like(prototype).at[..., : self.k].set(1)


class _DiscreteKHot(common.DiscreteKHot, _KHot): ...


class _Ordering(common.Ordering, _Own):
    def holds(self, x: Any) -> Any:
        return jnp.all(jnp.sort(x, axis=-1) == jnp.arange(self.n), axis=-1)

    def feasible_like(self, prototype: Any) -> Any:
        return jnp.broadcast_to(jnp.arange(self.n), jnp.shape(prototype))

    def eq(self, other: object, static: bool = False) -> Any:
        return isinstance(other, _Ordering) and self.n == other.n

    def tree_flatten(self) -> Any:
        return (), ((), {"n": self.n})


class _AmongValues(_Atomic, common.AmongValues, _Own):
    def feasible_like(self, prototype: Any) -> Any:
        return jnp.broadcast_to(self.values[..., 0], jnp.shape(prototype))

    def eq(self, other: object, static: bool = False) -> Any:
        if not isinstance(other, _AmongValues):
            return False
        return constraints.array_equiv(self.values, other.values, static=static)

    def tree_flatten(self) -> Any:
        return (self.values,), (("values",), {})


class _CorrelationMatrix(common.CorrelationMatrix, _Own, _Singleton):
    def holds(self, x: Any) -> Any:
        symmetric = jnp.all(jnp.abs(x - jnp.swapaxes(x, -1, -2)) < 1e-6, axis=(-2, -1))
        unit = jnp.all(jnp.abs(jnp.diagonal(x, axis1=-2, axis2=-1) - 1.0) < 1e-6, axis=-1)
        return symmetric & unit & jnp.all(jnp.isfinite(jnp.linalg.cholesky(wide(x))), axis=(-2, -1))

    def feasible_like(self, prototype: Any) -> Any:
        return jnp.broadcast_to(jnp.eye(prototype.shape[-1]), prototype.shape)


class _CorrelationCholesky(common.CorrelationCholesky, _CorrelationMatrix):
    def holds(self, x: Any) -> Any:
        lower = jnp.all(jnp.tril(x) == x, axis=(-2, -1))
        positive = jnp.all(jnp.diagonal(x, axis1=-2, axis2=-1) > 0, axis=-1)
        tolerance = max(1e-6, x.shape[-1] * float(jnp.finfo(x.dtype).eps))
        return lower & positive & jnp.all(jnp.abs(jnp.sum(x * x, -1) - 1.0) < tolerance, axis=-1)


one_hot = _OneHot()

CONSTRAINTS: dict[str, Any] = common.table(
    constraints,
    {
        "unit_interval_with_atoms": _UnitIntervalWithAtoms(),
        "real": constraints.real,
        "real_vector": constraints.real_vector,
        "real_matrix": constraints.real_matrix,
        "boolean": _ReparameterizedBoolean(),
        "discrete_one_hot": one_hot,
    },
    [
        *(_Simplex(), _LogSimplex(), _ReparameterizedOneHot()),
        *(_CorrelationMatrix(), _CorrelationCholesky()),
        *(_ScaledSimplex, _KHot, _DiscreteKHot, _Ordering, _AmongValues),
    ],
)
"""From a key of ``relaxppl.relaxations`` to the host's constraint."""

constraint = partial(common.constraint, CONSTRAINTS)
