"""What of a traced program has no jumps, or the derivative that it says, though it looks otherwise.

Functions of JAX and NumPyro compare to stay off infinities, stop gradients and have derivatives of
their own. They are told by where they are written, as a user's function may have the same name.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any

import jax
import numpyro
from jax.extend.core import Literal

import relaxppl

_JAX, _NUMPYRO, _OWN = (os.path.dirname(str(m.__file__)) for m in (jax, numpyro, relaxppl))
_PARTS = [os.path.join(_JAX, "_src", part) for part in ("lax", "nn", "numpy", "scipy")]
_THIRD = os.path.join(_JAX, "_src", "third_party")
_TRUSTED = tuple(os.path.join(folder, "") for folder in (*_PARTS, _THIRD, _NUMPYRO, _OWN))
_SOLVERS = os.path.join(_JAX, "_src", "lax", "control_flow", "")
"""Whose functions run a user's function, jumps and all."""
_BY_PARTS = frozenset(["relu", "relu6", "log1mexp", "_erfcx", "logit", "poch", "hyp1f1", "hyp2f1"])
"""Functions of JAX with a derivative for each argument: the rule made of them is written where a
user's would be."""
_RULE_OF_PARTS = os.path.join(_JAX, "_src", "custom_derivatives.py")
_PIECEWISE = "relu relu6 leaky_relu elu celu selu hard_tanh hard_sigmoid"
_CONTINUOUS = frozenset(_PIECEWISE.split())
"""Functions of ``jax.nn`` that compare and do not jump."""


def continuous(params: Mapping[str, Any]) -> bool:
    """Returns whether a call is of a function that compares and is known not to jump.

    :param params: of the call.
    """
    if params.get("name") not in _CONTINUOUS:
        return False
    _, file = _origin(params.get("jaxpr"))
    return _trusted(file)


def true_derivative(params: Mapping[str, Any]) -> bool:
    """Returns whether a function's own derivative is that of a function without jumps.

    A user's derivative may be another function's, as in a straight-through estimator. Both the
    function and its rule are asked, as a user may give JAX's function a rule.

    :param params: of the call of the function.
    """
    origins = [origin for x in params.values() if (origin := _origin(x)) != _UNKNOWN]
    parts = any(name in _BY_PARTS and _trusted(file) for name, file in origins)
    known = [_trusted(file) or (parts and file == _RULE_OF_PARTS) for _, file in origins]
    return len(known) > 1 and all(known)


_UNKNOWN = ("", "")


def _origin(program: Any) -> tuple[str, str]:
    """Returns the name and the file of the function that a program was traced from."""
    info = getattr(getattr(program, "jaxpr", program), "debug_info", None)
    if info is None:
        return _UNKNOWN
    name, _, place = str(getattr(info, "func_src_info", "")).partition(" at ")
    # A function whose place is not told is somebody's, too.
    return name, place.rpartition(":")[0]


def _trusted(file: str) -> bool:
    return file.startswith(_TRUSTED) and not file.startswith(_SOLVERS)


_EXTREMES = frozenset(("reduce_max", "reduce_min"))
_SHAPING = frozenset(("broadcast_in_dim", "reshape", "squeeze", "convert_element_type", "copy"))


class Extremes:
    """Where a program takes the largest value out of a sum of exponentials, for stability.

    It does so as if the value were a constant. The derivative is right all the same, as the value
    cancels; that of a quotient by the largest value is not.

    :param jaxpr: the program.
    """

    def __init__(self, jaxpr: Any) -> None:
        self._jaxpr = jaxpr

    def cancel(self, stopped: Any) -> bool:
        """Returns whether what a stopped gradient hands on is such a value.

        It is then taken from what it is the largest of, below an exponential, and does nothing else
        but to be added back.

        :param stopped: the operation.
        """
        (given,), (result,) = stopped.invars, stopped.outvars
        of = self._extreme_of(given)
        subtracted = False
        for var, equation in self._uses_of(result):
            name = equation.primitive.name if equation else ""
            if name == "sub" and equation.invars[1] is var:
                if not of & self._roots(equation.invars[0]):
                    return False
                below = {e.primitive.name for _, e in self._uses_of(equation.outvars[0]) if e}
                subtracted = subtracted or "exp" in below
            elif name != "add":
                return False
        return subtracted

    def _uses_of(self, var: Any) -> Iterator[tuple[Any, Any]]:
        """Yields what uses a value, in another shape or not, and which form of it; None: it is
        handed out."""
        for equation in self._users.get(var, ()):
            if equation is not None and equation.primitive.name in _SHAPING:
                yield from self._uses_of(equation.outvars[0])
            else:
                yield var, equation

    def _extreme_of(self, var: Any) -> frozenset[Any]:
        """Returns what a value is the largest or the least of, nothing if it is no such value."""
        equation = self._maker(var)
        if equation is None:
            return frozenset()
        if equation.primitive.name in _EXTREMES:
            return self._roots(equation.invars[0])
        if _passes(equation) or equation.primitive.name in ("max", "min"):
            return frozenset().union(*map(self._extreme_of, equation.invars))
        return frozenset()

    def _roots(self, var: Any) -> frozenset[Any]:
        """Returns what a value has its entries from, whatever its shape and what is masked."""
        if isinstance(var, Literal):
            return frozenset()
        equation = self._maker(var)
        if equation is None or not _passes(equation):
            return frozenset((var,))
        return frozenset().union(*map(self._roots, equation.invars))

    def _maker(self, var: Any) -> Any:
        return None if isinstance(var, Literal) else self._makers.get(var)

    @cached_property
    def _makers(self) -> dict[Any, Any]:
        return {var: e for e in self._jaxpr.eqns for var in e.outvars}

    @cached_property
    def _users(self) -> dict[Any, list[Any]]:
        users: dict[Any, list[Any]] = {}
        for equation in self._jaxpr.eqns:
            for var in equation.invars:
                if not isinstance(var, Literal):
                    users.setdefault(var, []).append(equation)
        for var in self._jaxpr.outvars:
            if not isinstance(var, Literal):
                users.setdefault(var, []).append(None)
        return users


def _passes(equation: Any) -> bool:
    name = equation.primitive.name
    return name in _SHAPING or name == "select_n" or equation.params.get("name") == "_where"
