"""The arrays among a program's arguments: the constant data of its results."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np


def constant_data(
    model: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    observed: Mapping[str, np.ndarray],
    array: Callable[[Any], np.ndarray | None],
) -> dict[str, np.ndarray]:
    """Returns the arrays that the model is given and does not observe, by argument.

    The arrays of a dict that is given have their keys' names.

    :param model: whose signature names the arguments; without one they are arg_0, arg_1, ...
    :param args: the positional arguments.
    :param kwargs: the keyword arguments.
    :param observed: what the model observes, by site.
    :param array: from an argument to an array, or None for what is no array of numbers.
    """
    try:
        bound = inspect.signature(model).bind(*args, **kwargs)
    except (TypeError, ValueError):
        given: dict[str, Any] = {f"arg_{i}": value for i, value in enumerate(args)} | dict(kwargs)
    else:
        given = {}
        for name, value in bound.arguments.items():
            kind = bound.signature.parameters[name].kind
            if kind is inspect.Parameter.VAR_KEYWORD:
                given.update(value)
            elif kind is inspect.Parameter.VAR_POSITIONAL:
                given.update({f"{name}_{i}": each for i, each in enumerate(value)})
            else:
                given[name] = value
    flat: dict[str, Any] = {}
    for name, value in given.items():
        flat.update(value if isinstance(value, Mapping) else {name: value})
    found = {}
    for name, value in flat.items():
        values = array(value)
        if values is not None and values.ndim and not _seen(values, observed):
            found[str(name)] = values
    return found


def _seen(values: np.ndarray, observed: Mapping[str, np.ndarray]) -> bool:
    return any(
        values is other or (values.shape == other.shape and np.array_equal(values, other))
        for other in observed.values()
    )
