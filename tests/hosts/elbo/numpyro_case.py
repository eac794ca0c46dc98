"""A small NumPyro program whose bound is known, and what exact bounds are written with."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
from jax.nn import softplus

Params = dict[str, Any]


@dataclass
class Case:
    """A program, its parameters, its exact negative bound."""

    name: str
    params: dict[str, Any]
    model: Callable[[], None]
    guide: Callable[..., None]
    """Takes the infer dict of each site, by name."""
    exact: Callable[[Params], jax.Array]
    depth: int = 1
    """Levels of discrete sites."""
    infer: dict[str, dict[str, str]] = field(default_factory=dict)
    """Sites that REBAR cannot run at, and what runs there."""
    _gradient: list[Any] = field(default_factory=list)

    def values(self) -> Params:
        return {n: jnp.asarray(v, dtype=jnp.result_type(float)) for n, v in self.params.items()}

    def gradient(self) -> tuple[jax.Array, Params]:
        """Returns the exact negative bound and its gradient."""
        if not self._gradient:
            self._gradient.append(jax.jit(jax.value_and_grad(self.exact))(self.values()))
        return self._gradient[0]


def param(name: str, like: Any) -> jax.Array:
    return numpyro.param(name, jnp.asarray(like, dtype=jnp.result_type(float)))


def bits(size: int) -> list[jax.Array]:
    return [jnp.array(b) for b in itertools.product((0.0, 1.0), repeat=size)]


def mass(logits: Any, b: Any) -> Any:
    return b * logits - softplus(logits)


def normal(x: Any, loc: Any, scale: float) -> Any:
    return -0.5 * ((x - loc) / scale) ** 2 - np.log(scale) - 0.5 * np.log(2 * np.pi)


def expectation(weighted: list[tuple[Any, Any]]) -> jax.Array:
    """Returns -sum q (log p - log q) of pairs (log q, log p)."""
    return -sum(jnp.exp(log_q) * (log_p - log_q) for log_q, log_p in weighted)
