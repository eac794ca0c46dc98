"""The state of a training in a file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, BinaryIO

import jax
import jax.numpy as jnp
import numpy as np
from numpyro.infer import SVI

from relaxppl.common import checkpoint as common


def _named(state: Any) -> dict[str, Any]:
    leaves = jax.tree_util.tree_flatten_with_path(state)[0]
    return {jax.tree_util.keystr(path): leaf for path, leaf in leaves}


def _plain(leaf: Any) -> Any:
    return jax.random.key_data(leaf) if _is_key(leaf) else jnp.asarray(leaf)


def _is_key(leaf: Any) -> bool:
    return isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def save(path: Path, svi: SVI, state: Any, losses: jax.Array, done: int) -> None:
    """Saves the state after some steps.

    :param svi: whose state it is.
    :param state: the state.
    :param losses: of all steps, of which some are taken.
    :param done: how many.
    """
    arrays = {name: _plain(leaf) for name, leaf in _named(state).items()}
    raw, meta = common.pack({**arrays, "losses": losses[:done]})
    names = json.dumps(_parameters(svi, state))

    def write(file: BinaryIO) -> None:
        np.savez(file, meta=np.array(meta), names=np.array(names), **raw)  # type: ignore[arg-type]

    common.write(path, write)


def _parameters(svi: SVI, state: Any) -> dict[str, tuple[int, ...]]:
    """Returns the shapes of the parameters by name, of those that are no array by their parts."""
    return {
        name + path: tuple(leaf.shape)
        for name, value in svi.get_params(state).items()
        for path, leaf in _named(value).items()
    }


def load(path: Path, svi: SVI, state: Any, losses: jax.Array) -> tuple[Any, jax.Array, int]:
    """Returns the state that was saved, the losses, and how many steps were taken.

    :param svi: whose state it is.
    :param state: of the same program, as it begins.
    :param losses: room for those of all steps.
    :raises ValueError: if the file is of another program, or has taken more steps.
    """
    with np.load(path, allow_pickle=False) as file:
        common.compare(path, json.loads(str(file["names"])), _parameters(svi, state))
        saved = common.unpack(file, str(file["meta"]), jnp.dtype)
    before = saved.pop("losses")
    own = _named(state)
    shapes = {name: tuple(_plain(leaf).shape) for name, leaf in own.items()}
    common.compare(path, {n: x.shape for n, x in saved.items()}, shapes)
    common.check_steps(path, len(before), len(losses))
    leaves = []
    for name, leaf in own.items():
        value: Any = jnp.asarray(saved[name])
        if _is_key(leaf):
            value = jax.random.wrap_key_data(value, impl=jax.random.key_impl(leaf))
        leaves.append(value)
    restored = jax.tree.unflatten(jax.tree.structure(state), leaves)
    return restored, losses.at[: len(before)].set(before), len(before)
