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
from jax.extend.core import ClosedJaxpr, Jaxpr, Literal

from relaxppl.estimators.jumps import NONE, Names, by_jumps, jumps, plain
from relaxppl.numpyro.elbo.smooth import Extremes, continuous, true_derivative

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

    extremes = Extremes(jaxpr)
    for equation in jaxpr.eqns:
        given = [read(var) for var in equation.invars]
        name, params = equation.primitive.name, equation.params
        if name in _RULES and not continuous(params):
            found = _RULES[name](params, given)
        else:
            names = NONE.union(*given)
            jumping = _jumps(equation, names, extremes)
            found = [by_jumps(names) if jumping else names] * len(equation.outvars)
        known.update(zip(equation.outvars, found, strict=True))
    return [read(var) for var in jaxpr.outvars]


def _jumps(equation: Any, names: Names, extremes: Extremes) -> bool:
    """Returns whether what an operation computes jumps, or has another derivative than it says.

    :param names: what it depends on.
    :param extremes: of the program that it is in.
    """
    name, params = equation.primitive.name, equation.params
    if name == "stop_gradient":
        return not extremes.cancel(equation)
    if name in _OWN_DERIVATIVE:
        return not true_derivative(params)
    return name in _JUMPING or (name not in _RULES and _jumps_inside(params, plain(names)))


def _jumps_inside(params: Params, names: Names) -> bool:
    """Returns whether an operation runs a function that jumps, such as what a reduction adds by."""
    values = (x for v in params.values() for x in (v if isinstance(v, tuple) else (v,)))
    for inner in values:
        if isinstance(inner, ClosedJaxpr | Jaxpr):
            program = inner.jaxpr if isinstance(inner, ClosedJaxpr) else inner
            found = _through(program, [names] * len(program.invars))
            # What hands nothing out writes where it is not followed.
            if not found or any(map(jumps, found)):
                return True
    return False


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


def _expanded(params: Params, given: Sequence[Names]) -> list[Names]:
    # JAX 0.12 writes its checkpoints and its root finder, among others, as objects that hold what
    # they run. Some have a derivative that a user gave.
    operation = params["_prim"]
    try:
        found = _through(jax.make_jaxpr(operation.expand)(*operation.in_avals), given)
    except Exception:  # It holds no program, or takes it in another way.
        return [by_jumps(NONE.union(*given))] * len(jax.tree.leaves(operation.out_aval))
    kind = type(operation)
    own = kind.__name__.startswith("Custom") or not kind.__module__.startswith("jax.")
    return [by_jumps(names) for names in found] if own else found


def _solved(params: Params, given: Sequence[Names]) -> list[Names]:
    # A linear system says what its solution is; the pivots by which it is found do not matter.
    lengths = params["const_lengths"]
    of_system, right = given[: lengths.matvec], given[sum(lengths) :]
    found = _through(params["jaxprs"].matvec, [*of_system, *right])
    return [NONE.union(*map(plain, given), *of_system, *right, *found)] * len(right)


_COMPARE = "eq ne lt le gt ge eq_to lt_to le_to not and or xor reduce_and reduce_or reduce_xor"
_TO_WHOLE = "sign floor ceil round rem argmax argmin population_count clz bitcast_convert_type"
_JUMPING = frozenset(name for names in (_COMPARE, _TO_WHOLE) for name in names.split())
"""Operations whose results jump as their inputs move."""

_OWN_DERIVATIVE = frozenset(("custom_jvp_call", "custom_vjp_call", "custom_vjp_call_jaxpr"))

# What is not here is taken as one: each of its outputs depends on each of its inputs.
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
    "approx_top_k": _top,
    "custom_linear_solve": _solved,
    "call_hi_primitive": _expanded,
}
