"""Which inputs of a function each of its outputs depends on, loops and branches looked into.

The host's own ``eval_provenance`` takes a loop as one operation, so that all that a ``scan`` hands
out depends on all that goes in. Here what a loop carries from step to step is followed until it no
longer changes; a draw that the carry does not see then stays out of every later law.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend.core import ClosedJaxpr, Literal

from relaxppl.estimators.jumps import NONE, Names, by_jumps

Params = Mapping[str, Any]
"""Of an operation of a traced program."""


def eval_provenance(fn: Callable[..., Any], **inputs: Any) -> Any:
    """Returns what a function returns, the names of the inputs that it depends on for each array.

    A name comes twice, once for :func:`~relaxppl.estimators.jumps.jumps`, if the dependence is none
    that a derivative sees. Nothing is computed.

    :param fn: a function of keyword arguments.
    :param inputs: trees of arrays by name.
    """
    jaxpr, shape = jax.make_jaxpr(lambda given: fn(**given), return_shape=True)(inputs)
    names = {name: jax.tree.map(lambda _, n=name: frozenset((n,)), x) for name, x in inputs.items()}
    is_leaf = lambda x: isinstance(x, frozenset)  # noqa: E731
    found = _through(jaxpr, jax.tree.leaves(names, is_leaf=is_leaf))
    return jax.tree.unflatten(jax.tree.structure(shape), found)


def _through(jaxpr: Any, inputs: Sequence[Names]) -> list[Names]:
    """Returns what the outputs of a traced program depend on.

    :param jaxpr: the program, its constants closed over or not.
    :param inputs: what its inputs depend on.
    """
    if isinstance(jaxpr, ClosedJaxpr):
        jaxpr = jaxpr.jaxpr
    known: dict[Any, Names] = dict(zip(jaxpr.invars, inputs, strict=True))

    def read(var: Any) -> Names:
        return NONE if isinstance(var, Literal) else known.get(var, NONE)

    extremes: set[Any] = set()
    for equation in jaxpr.eqns:
        given = [read(var) for var in equation.invars]
        name, params = equation.primitive.name, equation.params
        extreme = any(var in extremes for var in equation.invars if not isinstance(var, Literal))
        if name in _EXTREMES or (extreme and name in _KEEP_EXTREMES):
            extremes.update(equation.outvars)
        if name in _RULES and params.get("name") not in _CONTINUOUS:
            found = _RULES[name](params, given)
        else:
            names = NONE.union(*given)
            jumping = name in _JUMPING or (name == "stop_gradient" and not extreme)
            found = [by_jumps(names) if jumping else names] * len(equation.outvars)
        known.update(zip(equation.outvars, found, strict=True))
    return [read(var) for var in jaxpr.outvars]


def _called(params: Params, given: Sequence[Names]) -> list[Names]:
    return _through(params["jaxpr"], given)


def _branches(params: Params, given: Sequence[Names]) -> list[Names]:
    index, *operands = given
    each = [_through(branch, operands) for branch in params["branches"]]
    return [index.union(*found) for found in zip(*each, strict=True)]


def _scan(params: Params, given: Sequence[Names]) -> list[Names]:
    first, carried = _counts(params)
    consts, xs = list(given[:first]), list(given[first + carried :])

    def step(carry: list[Names]) -> list[Names]:
        return _through(params["jaxpr"], [*consts, *carry, *xs])

    carry = _settled(lambda c: step(c)[:carried], list(given[first : first + carried]))
    return [*carry, *step(carry)[carried:]]


def _counts(params: Params) -> tuple[int, int]:
    """Returns how many inputs of a scan are the same in all steps, and how many it carries."""
    if "ft_in" in params:  # JAX 0.12 has them as flat trees.
        consts, carry, _ = params["ft_in"].unpack()
        return len(consts), len(carry)
    return params["num_consts"], params["num_carry"]


def _while(params: Params, given: Sequence[Names]) -> list[Names]:
    asked, used = params["cond_nconsts"], params["body_nconsts"]
    test, body = list(given[:asked]), list(given[asked : asked + used])

    def step(carry: list[Names]) -> list[Names]:
        # How often the body runs decides on all that it carries.
        (turns,) = _through(params["cond_jaxpr"], [*test, *carry])
        return [x | turns for x in _through(params["body_jaxpr"], [*body, *carry])]

    return _settled(step, list(given[asked + used :]))


def _settled(step: Callable[[list[Names]], list[Names]], carry: list[Names]) -> list[Names]:
    while True:
        moved = [old | new for old, new in zip(carry, step(carry), strict=True)]
        if moved == carry:
            return carry
        carry = moved


def _converted(params: Params, given: Sequence[Names]) -> list[Names]:
    inexact = jnp.issubdtype(params["new_dtype"], jnp.inexact)
    return [names if inexact else by_jumps(names) for names in given]


def _sorted(params: Params, given: Sequence[Names]) -> list[Names]:
    names, keys = NONE.union(*given), params["num_keys"]
    # What is sorted by something else changes places at once.
    return [names if i < keys else by_jumps(names) for i in range(len(given))]


def _top(params: Params, given: Sequence[Names]) -> list[Names]:
    return [given[0], by_jumps(given[0])]


_COMPARE = "eq ne lt le gt ge eq_to lt_to le_to not and or xor reduce_and reduce_or reduce_xor"
_TO_WHOLE = "sign floor ceil round rem argmax argmin population_count clz bitcast_convert_type"
_JUMPING = frozenset(name for names in (_COMPARE, _TO_WHOLE) for name in names.split())
"""Operations whose results jump as their inputs move."""
_EXTREMES = frozenset(("reduce_max", "reduce_min"))
_KEEP_EXTREMES = frozenset(("max", "min", "select_n", "broadcast_in_dim", "reshape", "squeeze"))
"""By which a stable sum of exponentials takes the largest out, as a constant that it is not: the
derivative is right all the same."""
_PIECEWISE = "relu relu6 leaky_relu elu celu selu hard_tanh hard_sigmoid"
_CONTINUOUS = frozenset(name for names in (_PIECEWISE,) for name in names.split())
"""Functions of ``jax.nn`` that compare and do not jump."""

# What is not here, an operation with a derivative of its own among them, is taken as one: each of
# its outputs depends on each of its inputs.
_RULES: Mapping[str, Callable[[Params, Sequence[Names]], list[Names]]] = {
    "jit": _called,
    "pjit": _called,
    "remat2": _called,
    "checkpoint": _called,
    "cond": _branches,
    "scan": _scan,
    "while": _while,
    "convert_element_type": _converted,
    "sort": _sorted,
    "top_k": _top,
}
