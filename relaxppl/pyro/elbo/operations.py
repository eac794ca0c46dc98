"""What torch's operations do with numbers: hand them out of torch, let them jump, write them."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch

from relaxppl.estimators.jumps import Names

_FACTORIES = {
    torch.tensor,
    torch.as_tensor,
    torch.asarray,
    torch.full,
    torch.full_like,
    torch.Tensor.new_tensor,
    torch.Tensor.new_full,
}
"""Make a tensor of what they are given; some read its numbers without an operation."""

HANDING_ON = {torch.as_tensor, torch.asarray}
"""Those of them that take a tensor as it is, with its derivative."""

LIKE = {torch.full_like, torch.Tensor.new_tensor, torch.Tensor.new_full}
"""Those of them whose first argument gives a shape, a dtype and a device, and no numbers."""

EXITS = {
    torch.Tensor.numpy: "numpy()",
    torch.Tensor.__array__: "a conversion to NumPy",
    torch.Tensor.tolist: "tolist()",
    torch.Tensor.__dlpack__: "an exchange by DLPack",
    torch.Tensor.data_ptr: "data_ptr()",
    torch.Tensor.untyped_storage: "untyped_storage()",
    torch.Tensor.storage: "storage()",
    torch.Tensor.__repr__: "its printed form",
    torch.Tensor.__reduce_ex__: "pickle",
    torch.Tensor.apply_: "apply_()",
    torch.Tensor.map_: "map_()",
}
"""Hand numbers to what is not torch without an operation."""

_INDEXED = {torch.Tensor.__getitem__, torch.Tensor.__setitem__}
STOPS = {
    *(torch.Tensor.detach, torch.detach, torch.Tensor.detach_, torch.detach_),
    torch.Tensor.data.__get__,  # type: ignore[attr-defined]
}
SET_DATA = torch.Tensor.data.__set__  # type: ignore[attr-defined]
SET_GRAD = torch._C._set_grad_enabled
ONE_HOT = torch.nn.functional.one_hot
WATCHED = _FACTORIES | set(EXITS) | _INDEXED | STOPS | {SET_DATA, ONE_HOT}

_COMPARISONS = (
    *("eq", "ne", "lt", "le", "gt", "ge", "isclose", "isin", "isnan", "isinf", "isfinite"),
    *("isposinf", "isneginf", "isreal", "signbit", "any", "all"),
    *("equal", "not_equal", "less", "less_equal", "greater", "greater_equal"),
    *("logical_and", "logical_or", "logical_xor", "logical_not"),
)
_ROUNDINGS = (
    *("round", "floor", "ceil", "trunc", "fix", "frac", "floor_divide", "fmod", "remainder"),
    *("sign", "sgn", "heaviside", "copysign", "nextafter", "frexp", "angle", "atan2"),
    *("threshold", "hardshrink", "rrelu", "rrelu_with_noise", "mode"),
)
_DRAWS = ("bernoulli", "poisson", "binomial", "normal", "normal_functional")
_COUNTS = ("histc", "histogram", "bincount", "linspace", "logspace")
_SLOPES = tuple(
    f"{name}_backward"
    for name in (
        *("threshold", "hardtanh", "hardsigmoid", "hardswish", "hardshrink", "softshrink"),
        *("leaky_relu", "elu", "_prelu_kernel", "rrelu_with_noise"),
    )
)
"""Derivatives of functions with a kink, as ``torch.func.grad`` within a program takes them."""

_STEPS = frozenset(_COMPARISONS + _ROUNDINGS + _DRAWS + _COUNTS + _SLOPES)
"""Operations on real numbers whose results jump, or that hand on no derivative.

A comparison in place, or with ``out=``, writes real numbers.
"""

_STEPS_NAMED = ("fake_quant", "_histogramdd", "_polynomial_", "_bessel_", "_airy_")
"""Parts of the names of further ones. Most Bessel functions have no derivative, silently."""

_STEPS_AT: dict[str, tuple[int, int]] = {
    "grid_sampler": (2, 1),
    "grid_sampler_2d": (2, 1),
    "grid_sampler_3d": (2, 1),
    "norm": (1, 0),
    "linalg_vector_norm": (1, 0),
    "dist": (2, 0),
    "_cdist_forward": (2, 0),
    "_pdist_forward": (1, 0),
}
"""Operations that jump where an argument has a value: to the nearest point, a count as a norm."""

_SHAPES = tuple(
    f"aten::{name}"
    for name in (
        *("empty_like", "zeros_like", "ones_like", "full_like"),
        *("rand_like", "randn_like", "randint_like"),
        *("new_empty", "new_empty_strided", "new_zeros", "new_ones", "new_full"),
    )
)
"""Operations that read no number of their first argument."""

_UNDECLARED = {"running_mean", "running_var"}
"""Arguments that operations write to without saying so in their schema."""

READABLE = {
    "aten::_local_scalar_dense": "a Python number (an if, item(), int(), float(), an index)",
    "aten::equal": "torch.equal",
}


def _name_of(func: Any) -> str:
    """Returns an operation's name without its namespace, its overload and the mark of in place."""
    name: str = func.name().removeprefix("aten::").split(".")[0]
    return name.removeprefix("_foreach_").rstrip("_")


@cache
def facts_of(func: Any) -> tuple[Names, tuple[Any, ...]]:
    """Returns how an operation lets values out, and which arguments it writes to."""
    tags = set()
    if torch.Tag.data_dependent_output in func.tags:
        tags.add("item")
    if torch.Tag.dynamic_output_shape in func.tags:
        tags.add("shape")
    name = _name_of(func)
    if name in _STEPS or any(part in name for part in _STEPS_NAMED):
        tags.add("step")
    elif name in _STEPS_AT or any(a.name == "rounding_mode" for a in func._schema.arguments):
        tags.add("step by argument")
    if func.name().split(".")[0] in _SHAPES:
        tags.add("like")
    written: list[Any] = []
    for i, argument in enumerate(func._schema.arguments):
        declared = argument.alias_info is not None and argument.alias_info.is_write
        if declared or argument.name in _UNDECLARED:
            written.append(argument.name if argument.kwarg_only else i)
    return frozenset(tags), tuple(written)


def is_step(func: Any, tags: Names, args: Any, kwargs: Any) -> bool:
    """Returns whether what an operation returns jumps, called with these arguments.

    :param tags: as :func:`facts_of` returns them.
    """
    if "step by argument" not in tags:
        return "step" in tags
    if kwargs.get("rounding_mode") is not None:
        return True
    name = _name_of(func)
    position, value = _STEPS_AT.get(name, (len(args), 0))
    return position < len(args) and bool(args[position] == value)


def targets(written: tuple[Any, ...], args: Any, kwargs: Any) -> list[Any]:
    """Returns what an operation was given at the arguments that it writes to."""
    return [kwargs.get(at) if isinstance(at, str) else args[at] for at in written]


def written_by(func: Any, args: Any, kwargs: Any) -> list[tuple[Any, Any]]:
    """Returns where among its arguments an operation is given the tensors that it writes to.

    :returns: pairs of ``args`` or ``kwargs`` and a position in it.
    """
    found: list[tuple[Any, Any]] = []
    for position in facts_of(func)[1]:
        given = kwargs if isinstance(position, str) else args
        there = position in kwargs if isinstance(position, str) else position < len(args)
        if there and isinstance(given[position], torch.Tensor):
            found.append((given, position))
    return found


def classes_told(num_classes: int = -1, **kwargs: Any) -> int:
    """Returns how many classes a one-hot encoding is told of; it reads values to check them."""
    return num_classes


def of_fixed_shape(func: Any, args: Any) -> bool:
    """Returns whether an indexing takes integers only: masks alone decide shapes."""
    if not func.name().startswith("aten::index"):
        return False
    masks = (torch.bool, torch.uint8)
    return all(index is None or index.dtype not in masks for index in args[1])
