"""Trains attend, infer, repeat on NumPyro, all seeds of a method by one compiled function."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpyro
from jax import lax
from numpyro.infer import SVI

from models.numpyro import attend_infer_repeat as air


def judged(method: str, steps: int, data: Any) -> Callable[[int], tuple[Any, float]]:
    """What trains by a method from the first weights of a seed, then counts and bounds."""
    train, test, elbo = jnp.asarray(data.train), jnp.asarray(data.test), air.METHODS[method]()

    @jax.jit
    def run(seed: jax.Array, train: jax.Array, test: jax.Array) -> Any:
        model, guide = air.programs(seed)
        ready = guide if method == "host" else elbo.prepare(guide)
        svi = SVI(model, ready, numpyro.optim.Adam(1e-3), elbo)
        state = svi.init(jax.random.key(seed), train)
        state = lax.fori_loop(0, steps, lambda _, state: svi.update(state, train)[0], state)
        return air.judge(seed, model, guide, svi.get_params(state), test)

    def one(seed: int) -> tuple[Any, float]:
        counts, bound = run(seed, train, test)
        return counts, float(bound)

    return one
