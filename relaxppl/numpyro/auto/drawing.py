"""Draws of a guide by one compiled program, which later calls use again."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import jax
import numpy as np

_PLAIN = (bool, int, float, complex, str, bytes, type(None))
"""What cannot change between two calls unseen."""


class Drawing:
    """Compiles a function of a key once for the arguments of one kind.

    A copy of it, as by pickle, starts empty.
    """

    def __init__(self) -> None:
        self._compiled: dict[Any, Callable[..., Any]] = {}

    def __reduce__(self) -> Any:
        return Drawing, ()

    def __call__(
        self, draw: Callable[..., Any], keys: jax.Array, params: Any, args: Any, kwargs: Any
    ) -> Any:
        """Returns what a function gives for each of several keys, along a first axis.

        :param draw: from (key, params, args, kwargs) to arrays; the same one in each call.
        :param keys: PRNG keys, (N,).
        :param params: arrays.
        :param args: arguments; what is no array is part of the program, which is compiled in each
            call if that may change unseen.
        :param kwargs: keyword arguments, likewise.
        """
        leaves, spec = jax.tree.flatten((args, kwargs))
        arrays = [x for x in leaves if _is_array(x)]
        known = tuple(_is_array(x) for x in leaves)
        fixed = tuple(None if array else x for array, x in zip(known, leaves, strict=True))

        def many(keys: jax.Array, params: Any, arrays: list[Any]) -> Any:
            given = iter(arrays)
            whole = [next(given) if array else x for array, x in zip(known, fixed, strict=True)]
            args, kwargs = jax.tree.unflatten(spec, whole)
            return jax.vmap(lambda key: draw(key, params, args, kwargs))(keys)

        run = jax.jit(many)
        if all(isinstance(x, _PLAIN) for x in fixed):
            # 1, 1.0 and True are equal, and make different programs.
            kind = spec, fixed, tuple(map(type, fixed)), known
            with suppress(TypeError):  # The tree holds what cannot be looked up.
                run = self._compiled.setdefault(kind, run)
        return run(keys, params, arrays)


def _is_array(value: Any) -> bool:
    return isinstance(value, (jax.Array, np.ndarray))
