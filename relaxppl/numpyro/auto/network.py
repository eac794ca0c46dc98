"""Networks of NumPyro's users, as functions of rows that declare what they learn."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import jax
from numpyro.contrib.module import eqx_module, nnx_module


def declared(name: str, network: Any) -> Callable[[jax.Array], jax.Array]:
    """Returns a function of rows, (N, ...), that declares a network's parameters and runs it.

    :param name: of the parameters, ``{name}$params``.
    :param network: an Equinox module of one row, a Flax NNX module of many, or such a function.
    """
    if _is_module(network, "equinox"):
        return lambda rows: jax.vmap(eqx_module(name, network))(rows)
    if _is_module(network, "flax.nnx"):
        return lambda rows: nnx_module(name, network)(rows)
    return network


def _is_module(network: Any, package: str) -> bool:
    # Whoever has such a module has imported the package.
    found = sys.modules.get(package)
    return found is not None and isinstance(network, found.Module)
