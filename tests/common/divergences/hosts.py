"""Both hosts, as far as the KL rules need them: NumPy in, NumPy out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import pyro
import pytest
import torch

import relaxppl.numpyro
import relaxppl.pyro


class NumPyro:
    name = "numpyro"
    rx = relaxppl.numpyro
    dist = numpyro.distributions

    def array(self, value: Any, dtype: str = "float64") -> Any:
        return jnp.asarray(value, dtype)

    def numpy(self, value: Any) -> np.ndarray:
        return np.asarray(value)

    def compiled(self, fn: Callable) -> Callable:
        return jax.jit(fn)

    def grad(self, fn: Callable, inputs: dict[str, Any]) -> dict[str, np.ndarray]:
        return {name: np.asarray(g) for name, g in jax.jit(jax.grad(fn))(inputs).items()}


class Pyro:
    name = "pyro"
    rx = relaxppl.pyro
    dist = pyro.distributions

    def array(self, value: Any, dtype: str = "float64") -> Any:
        return torch.tensor(np.asarray(value), dtype=getattr(torch, dtype))

    def numpy(self, value: Any) -> np.ndarray:
        return value.detach().numpy()

    def compiled(self, fn: Callable) -> Callable:
        return fn

    def grad(self, fn: Callable, inputs: dict[str, Any]) -> dict[str, np.ndarray]:
        leaves = {name: value.clone().requires_grad_() for name, value in inputs.items()}
        fn(leaves).backward()
        return {
            name: np.zeros(leaf.shape) if leaf.grad is None else leaf.grad.numpy()
            for name, leaf in leaves.items()
        }


HOSTS = [NumPyro(), Pyro()]


def build(host: Any, cls: str, params: dict[str, Any], dtype: str = "float64") -> Any:
    """The distribution with these parameters, arrays of the host or NumPy's; flags as they are."""
    module = host.dist if cls.startswith("host.") else host.rx
    given = {
        n: host.array(v, dtype) if isinstance(v, np.ndarray | float) else v
        for n, v in params.items()
    }
    return getattr(module, cls.removeprefix("host."))(**given)


both = pytest.mark.parametrize("host", HOSTS, ids=lambda h: h.name)
