"""Simulation-based calibration of a guide: its posteriors of data whose origin is known."""

from __future__ import annotations

import copy
import dataclasses
import os
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from numpyro import handlers
from numpyro.infer import SVI

from relaxppl.common.arviz.draws import batch_size as size_of_batch
from relaxppl.common.arviz.request import Request
from relaxppl.common.calibrate import run as common
from relaxppl.common.calibrate.arguments import Arguments
from relaxppl.common.calibrate.result import Calibration
from relaxppl.common.calibrate.simulate import LOG_JOINT, drawn_of, quantities
from relaxppl.common.docstring import documented_by
from relaxppl.numpyro.arviz import trace as read
from relaxppl.numpyro.arviz.convert import array_of, read_program
from relaxppl.numpyro.arviz.sampler import Sampler
from relaxppl.numpyro.sites import SITES

Sites = dict[str, Any]


@documented_by(common.run)
def calibrate(
    *program: Any,
    rng_key: jax.Array,
    num_simulations: int = 200,
    num_draws: int = 100,
    data: Callable[[dict[str, jax.Array]], tuple[Any, ...]] | None = None,
    level: float = 0.01,
    keep: str | os.PathLike[str] | None = None,
    progress: bool | None = None,
    batch_size: int | None = None,
    parallel: bool = True,
    **kwargs: Any,
) -> Calibration:
    """Returns whether a guide's posteriors are right, on data sets drawn from the model.

    Called as ``calibrate(svi, result, *args, rng_key=key)`` or ``calibrate(model, guide, params,
    *args, rng_key=key)`` one fit serves every data set, as it can where the guide reads the data;
    as ``calibrate(svi, num_steps, *args, rng_key=key)`` each data set has a fit of its own, of so
    many steps from the initial values.

    :param rng_key: a PRNG key.
    :param batch_size: how many data sets at a time; None chooses by the memory they take.
    :param parallel: whether those run vectorised; False runs them in turn.
    """
    asked = common.Request(num_simulations, num_draws, level, keep, progress)
    svi: Any = program[0] if program else None
    steps, key = None, rng_key
    if isinstance(svi, SVI) and len(program) > 1 and common.is_count(program[1]):
        steps, args = int(program[1]), program[2:]
        model, guide, static = svi.model, svi.guide, svi.static_kwargs
        # What an autoguide sets up at its first call must not be traced.
        once = copy.copy(svi)
        params = once.get_params(once.init(key, *args, **kwargs))
    else:
        model, guide, params, args, _, static = read_program("calibrate", program)
    kwargs = {**static, **kwargs}
    request = Request(num_draws, posterior_predictive=False, log_likelihood=False)
    base = Sampler(model, guide, params, tuple(args), kwargs, request)
    first = base.prototype(key)
    if steps is not None:
        _check_no_params(model, guide, key, args, kwargs)

    def fitted(key: jax.Array, args: Any, kwargs: Any) -> dict[str, Any]:
        run = copy.copy(svi)
        given = {n: v for n, v in kwargs.items() if n not in static}
        state = run.init(key, *args, **given)
        state, _ = lax.scan(lambda s, _: run.update(s, *args, **given), state, None, steps)
        return run.get_params(state)

    def one(key: jax.Array) -> tuple[Sites, Sites]:
        prior_key, fit_key, draw_key = jax.random.split(key, 3)
        latents, observed = base.simulated(prior_key)
        new, named = arguments.of(observed)
        run = dataclasses.replace(base, args=new, kwargs=named)
        if steps is not None:
            run.params = fitted(fit_key, new, named)
        drawn = jax.vmap(run.draw)(jax.random.split(draw_key, num_draws))
        truth = {n: read.value_of(s) for n, s in latents.items()}
        truth[LOG_JOINT] = run.log_joint({n: s["value"] for n, s in latents.items()}, key)
        draws = {n: drawn_of(n, drawn["posterior"]) for n in latents}
        return truth, draws | {LOG_JOINT: drawn["sample_stats"]["log_p"]}

    def observed_by(args: Any, kwargs: Any, values: Sites) -> dict[str, np.ndarray]:
        return dataclasses.replace(base, args=args, kwargs=kwargs).observations(values, key)

    arguments = Arguments(args, kwargs, data, first.observed, array_of, _like)
    latents, observed = base.simulated(key)
    arguments.check(observed_by, latents, observed)
    found = quantities(SITES, latents, first.sites)
    shapes = jax.tree.leaves(jax.eval_shape(one, key))
    size = size_of_batch(
        -(-num_simulations // 10), sum(s.size * s.dtype.itemsize for s in shapes), batch_size
    )
    many = jax.jit(jax.vmap(one) if parallel else lambda keys: lax.map(one, keys))

    def simulate(start: int, end: int) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        # The last batch is as long as the others, or it would be compiled again.
        index = np.minimum(np.arange(start, start + size), end - 1)
        keys = jax.vmap(lambda i: jax.random.fold_in(key, i))(index)
        both = jax.tree.map(lambda x: np.asarray(x)[: end - start], many(keys))
        return both[0], both[1]

    named = str(np.asarray(jax.random.key_data(key)).tolist())
    origin = common.identity(model, guide, steps, params, rng_key=named)
    return common.run(asked, simulate, found, origin, size, ("numpyro", "numpyro"))


def _check_no_params(model: Any, guide: Any, key: Any, args: Any, kwargs: Any) -> None:
    drawn = handlers.trace(handlers.seed(guide, key)).get_trace(*args, **kwargs)
    seeded = handlers.seed(handlers.replay(model, drawn), key)
    trace = handlers.trace(seeded).get_trace(*args, **kwargs)
    common.check_no_params([n for n, s in trace.items() if s["type"] == "param"])


def _like(new: jax.Array, old: Any) -> jax.Array:
    return jnp.asarray(new, jnp.asarray(old).dtype)
