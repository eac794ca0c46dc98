"""A program of both hosts whose bound of K draws is known, and what its table is written with."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import pyro
from jax.nn import softplus

SEEN: dict[str, Any] = {}
"""The rows of the guide's last subsample."""


class Row(NamedTuple):
    """What has a bound of its own: all its joint values."""

    log_mass: Any
    """Their log probabilities, as they are drawn, (M,)."""
    log_q: Any
    """The guide's log density, as the bound counts it, (M,)."""
    log_p: Any
    """(M,)."""
    scale: float = 1.0


@dataclass(frozen=True)
class Case:
    params: dict[str, Any]
    """Each (rows or 1, *event)."""
    program: Callable[[Any, Callable[[str], Any]], Any]
    """From a host and a function that gives parameters to model and guide."""
    table: Callable[..., list[Row]]
    """From parameters, a function for what reparameterised draws pass by, and the subsample."""
    plates: tuple[str, ...] = ()
    rest: Callable[[Any], Any] = lambda p: 0.0
    """What no latent site reaches."""
    subsampled: bool = False

    def build(self, host: Any, n: int) -> tuple[Any, Any]:
        """Returns the model and the guide of n repetitions."""

        def param(name: str) -> Any:
            init = host.array(np.broadcast_to(self.params[name], (n, *self.params[name].shape)))
            return host.lib.param(name, init)

        def repeated(fn: Any) -> Any:
            def wrapped() -> Any:
                with host.plate("repetitions", n, dim=-2):
                    return fn()

            return wrapped

        model, guide = self.program(host, param)
        return repeated(model), repeated(guide)

    def values(self) -> dict[str, jax.Array]:
        return {name: jnp.asarray(x) for name, x in self.params.items()}

    def bound(self, p: Any, rows: Any, count: int) -> jax.Array:
        """Returns the expected bound of so many draws."""
        total = self.rest(p)
        for row in self.table(p, lambda x: x, rows):
            mass, log_w = tuples(row.log_mass, count), tuples(row.log_p - row.log_q, count)
            each = jax.nn.logsumexp(log_w, 0) - np.log(count)
            total = total + row.scale * jnp.sum(jnp.exp(mass.sum(0)) * each)
        return total

    def reweighted(self, p: Any, rows: Any, count: int) -> jax.Array:
        """Returns what has the expected gradient of wake-theta and wake-phi together."""
        held, total = jax.lax.stop_gradient, self.rest(p)
        for row in self.table(p, held, rows):
            mass = tuples(held(row.log_mass), count)
            weight = jax.nn.softmax(tuples(held(row.log_p - row.log_q), count), 0)
            value = tuples(row.log_p + row.log_q, count)
            total = total + row.scale * jnp.sum(jnp.exp(mass.sum(0)) * weight * value)
        return total


def tuples(x: Any, count: int) -> jax.Array:
    """Returns the values of all tuples, (count, M ** count), from those of one draw, (M,)."""
    return jnp.stack([grid.reshape(-1) for grid in jnp.meshgrid(*[x] * count, indexing="ij")])


@contextmanager
def scaled(host: Any, factor: float) -> Iterator[None]:
    handlers = numpyro.handlers if host.name == "numpyro" else pyro.poutine
    with handlers.scale(scale=factor):
        yield


def mass(logits: Any, b: Any) -> Any:
    return b * logits - softplus(logits)


def normal(x: Any, loc: Any, scale: float) -> Any:
    return -0.5 * ((x - loc) / scale) ** 2 - np.log(scale) - 0.5 * np.log(2 * np.pi)


def observe(host: Any, name: str, loc: Any, scale: float, value: float) -> None:
    obs = host.array(np.full(tuple(loc.shape), value))
    host.sample(name, host.dist.Normal(loc, scale), obs=obs)
