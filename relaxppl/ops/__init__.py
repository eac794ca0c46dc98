"""The array functions that the mathematics may use, one meaning on both backends.

``ops.log_sigmoid(x)`` looks at the type of its first array argument and calls the function of
the same name in the table of that backend (``ops/_jax.py`` or ``ops/_torch.py``). A backend is
only imported when the caller already holds one of its arrays.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np

Array = Any
"""An array of either backend: ``jax.Array`` or ``torch.Tensor``."""

_ELEMENTWISE = (
    "exp log log1p expm1 sqrt abs cos logaddexp sigmoid log_sigmoid softplus ndtr log_ndtr ndtri "
    "gammaln where clip at_least minimum maximum"
)
_ALONG_ONE_AXIS = "sum max min argmax logsumexp softmax log_softmax cumsum logcumsumexp scan"
_SHAPE = (
    "size broadcast_to broadcast_arrays concatenate stack flip moveaxis take_along_axis top_k "
    "one_hot"
)
_LINEAR_ALGEBRA = "linear_assignment cholesky solve_triangular diagonal matmul matvec transpose"
_TYPE_AND_GRAPH = (
    "cast integers like zeros_like full_like known tiny eps stop_gradient value_and_grad "
    "grads_apart vjp"
)
NAMES = frozenset(
    name
    for group in (_ELEMENTWISE, _ALONG_ONE_AXIS, _SHAPE, _LINEAR_ALGEBRA, _TYPE_AND_GRAPH)
    for name in group.split()
)

_TABLES: dict[type, ModuleType] = {}


def table(array: Any) -> ModuleType:
    """Returns the backend table of an array.

    :param array: a ``jax.Array`` (traced or not) or a ``torch.Tensor``.
    :returns: the module ``ops._jax`` or ``ops._torch``.
    :raises TypeError: if it is neither.
    """
    kind = type(array)
    if kind not in _TABLES:
        for host, array_type in (("torch", "Tensor"), ("jax", "Array")):
            loaded = sys.modules.get(host)
            if loaded is not None and isinstance(array, getattr(loaded, array_type)):
                _TABLES[kind] = importlib.import_module(f"relaxppl.ops._{host}")
                break
        else:
            raise TypeError(
                f"expected a jax.Array or a torch.Tensor, got {kind.__module__}.{kind.__qualname__}"
            )
    return _TABLES[kind]


def _first_array(args: tuple[Any, ...]) -> Any:
    for arg in args:
        if isinstance(arg, (list, tuple)):
            arg = _first_array(tuple(arg))
        elif isinstance(arg, dict):
            arg = _first_array(tuple(arg.values()))
        if hasattr(arg, "shape") and not type(arg).__module__.startswith("numpy"):
            return arg
    return None


def as_numpy(value: Any) -> np.ndarray:
    """Returns an array of either backend, or a number, as NumPy's on the host."""
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(value, torch.Tensor):
        value = value.detach().cpu()
    return np.asarray(value)


def __getattr__(name: str) -> Callable[..., Any]:
    if name not in NAMES:
        raise AttributeError(f"module 'relaxppl.ops' has no function {name!r}")

    def dispatch(*args: Any, **kwargs: Any) -> Any:
        return getattr(table(_first_array(args)), name)(*args, **kwargs)

    dispatch.__name__ = name
    # Found once, an op is an ordinary global of this module.
    globals()[name] = dispatch
    return dispatch
