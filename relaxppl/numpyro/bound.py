"""The bound of the discrete model under the discrete guide, whatever relaxation trained it."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from numpyro.infer import Trace_ELBO
from numpyro.primitives import Messenger

from relaxppl.common import bound as common
from relaxppl.common.docstring import documented_by
from relaxppl.common.relax import left_discrete
from relaxppl.numpyro.elbo.classes import VIMCO_ELBO, ScoreFunction_ELBO
from relaxppl.numpyro.registry import HOST
from relaxppl.numpyro.state import StateOf, warn


@documented_by(common.check)
def discrete_elbo(
    model: Callable,
    guide: Callable,
    params: dict[str, Any],
    *args: Any,
    rng_key: jax.Array,
    num_particles: int = 1000,
    importance_samples: int = 1,
    vectorize_particles: Any = True,
    **kwargs: Any,
) -> jax.Array:
    """Returns an unbiased estimate of E_q[log p(x, z) - log q(z)] with discrete z, a scalar.

    :param params: the trained parameters, as ``SVI.get_params`` returns them, and the mutable state
        where the program has any.
    :param rng_key: a PRNG key.
    :param vectorize_particles: as in the host's ``ELBO``: False runs one at a time in less memory.
    """
    common.check(importance_samples)
    elbo = Trace_ELBO(num_particles=num_particles, vectorize_particles=vectorize_particles)
    states = [StateOf(fn, params) for fn in (guide, model)]
    checked_guide = _Refuse(states[0])
    checked_model = _Refuse(states[1], guide=checked_guide.seen)
    program = checked_model, checked_guide, *args
    with left_discrete(), warnings.catch_warnings():
        # The state is not wanted here.
        warnings.filterwarnings("ignore", message="mutable state is currently ignored")
        if importance_samples == 1:
            try:
                loss = elbo.loss(rng_key, params, *program, **kwargs)
            except common.MarkedError:
                own = ScoreFunction_ELBO(num_particles, vectorize_particles)
                checked_model.host = False
                loss = own.loss(rng_key, params, *program, **kwargs)
        else:
            checked_model.host = False
            several = VIMCO_ELBO(importance_samples, vectorize_particles)

            def one(key: jax.Array) -> jax.Array:
                return several.loss(key, params, *program, **kwargs)

            keys = jax.random.split(rng_key, num_particles)
            loss = jnp.mean(elbo.vectorize_particles_fn(one, keys))
    warn(states)
    return -loss


class _Refuse(common.Refuse, Messenger):
    def process_message(self, msg: Any) -> None:
        if msg["type"] == "sample" and not msg["is_observed"]:
            self.meet(HOST, msg)
