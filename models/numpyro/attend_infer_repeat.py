"""How many digits are on a canvas, and where: attend, infer, repeat, in NumPyro.

A canvas shows up to two digits; nobody says how many. The guide looks for one as long as it finds
one: a coin says whether there is another, three numbers how large it is and where, ten what it
looks like; and it is erased before the next step. The model draws the digits again. Both multiply
by the coins, so that they also run at the values between 0 and 1 that REBAR needs.

    python -m models.numpyro.attend_infer_repeat
"""

from __future__ import annotations

import sys
import time
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from numpyro.contrib.module import eqx_module
from numpyro.infer import SVI, Predictive, TraceGraph_ELBO

import relaxppl.numpyro as rx
from models.canvases import GLIMPSE, SIDE, canvases_chart, in_box, load_canvases, on_canvas
from models.common.cli import positive_int
from models.common.program import Program, finish

OBJECTS, WHAT, BATCH, SHOWN = 2, 10, 64, 12


def interpolate(image: jax.Array, at: jax.Array) -> jax.Array:
    """A square image between its pixels: rows at[..., 0, :], columns at[..., 1, :]; 0 outside."""
    hats = jax.nn.relu(1.0 - jnp.abs(at[..., None] - jnp.arange(image.shape[-1])))
    return hats[..., 0, :, :] @ image @ hats[..., 1, :, :].mT


def programs(seed: int) -> tuple[Any, Any]:
    """The model and the guide, with the first weights of a seed."""
    sizes = {"find": (SIDE**2, 7, 200), "look": (GLIMPSE**2, 2 * WHAT, 64)}
    sizes["decoder"] = (WHAT, GLIMPSE**2, 64)
    keys = dict(zip(sizes, jax.random.split(jax.random.key(seed), 3), strict=True))
    net = {name: eqx.nn.MLP(*sizes[name], depth=1, key=keys[name]) for name in sizes}

    def coin(step: int, there: jax.Array, logit: Any, **infer: Any) -> jax.Array:
        # After an object that is not there comes none.
        logits = there * logit + (1.0 - there) * -8.0
        law = dist.Bernoulli(logits=logits)
        return there * numpyro.sample(f"present_{step}", law, infer=infer)

    def normal(name: str, there: jax.Array, numbers: jax.Array) -> jax.Array:
        # What is not there has the model's own law, and so costs nothing.
        loc, log_scale = jnp.split(numbers, 2, -1)
        law = dist.Normal(there[:, None] * loc, jnp.exp(there[:, None] * (log_scale - 2.0)))
        return numpyro.sample(name, law.to_event(1))

    def model(canvases: jax.Array, batch: int | None = BATCH) -> None:
        decoder = eqx_module("decoder", net["decoder"])
        with numpyro.plate("canvas", len(canvases), subsample_size=batch) as rows:
            there, made = jnp.ones(len(rows)), 0.0
            for step in range(OBJECTS):
                there = coin(step, there, 0.0)
                where = numpyro.sample(f"where_{step}", dist.Normal().expand([3]).to_event(1))
                what = numpyro.sample(f"what_{step}", dist.Normal().expand([WHAT]).to_event(1))
                glimpse = jax.nn.sigmoid(jax.vmap(decoder)(what) - 2.0)
                glimpse = glimpse.reshape(-1, GLIMPSE, GLIMPSE)
                drawn = interpolate(glimpse, in_box(where[..., None], jnp.arange(SIDE)))
                made = made + there[:, None, None] * drawn
            numpyro.deterministic("made", made)
            numpyro.sample("pixels", dist.Normal(made, 0.3).to_event(2), obs=canvases[rows])

    def guide(canvases: jax.Array, batch: int | None = BATCH) -> None:
        find, look = eqx_module("find", net["find"]), eqx_module("look", net["look"])
        with numpyro.plate("canvas", len(canvases), subsample_size=batch) as rows:
            there, left = jnp.ones(len(rows)), canvases[rows]
            for step in range(OBJECTS):
                found = jax.vmap(find)(left.reshape(len(rows), -1))
                seen = (there[:, None, None] * left).reshape(len(rows), -1)
                there = coin(step, there, found[:, 0], estimator_input=seen)
                where = normal(f"where_{step}", there, found[:, 1:])
                glimpse = interpolate(left, on_canvas(where[..., None], jnp.arange(GLIMPSE)))
                normal(f"what_{step}", there, jax.vmap(look)(glimpse.reshape(len(rows), -1)))
                white = jnp.ones((GLIMPSE, GLIMPSE))
                erased = interpolate(white, in_box(where[..., None], jnp.arange(SIDE)))
                left = left * (1.0 - there[:, None, None] * erased)

    return model, guide


METHODS = {
    "disarm": rx.DisARM_ELBO,
    "host": TraceGraph_ELBO,
    "rebar": rx.REBAR_ELBO,
    "score": lambda: rx.ScoreFunction_ELBO(baseline="network", hidden=200),
    "vimco": lambda: rx.VIMCO_ELBO(num_particles=5),
}


def judge(seed: Any, model: Any, guide: Any, params: Any, canvases: Any) -> tuple[Any, Any]:
    """Returns draws of the number of digits, and the bound of a canvas."""
    keys = jax.random.split(jax.random.fold_in(jax.random.key(seed), 1))
    draws = Predictive(guide, params=params, num_samples=10)(keys[0], canvases, None)
    first, second = (draws[f"present_{step}"] for step in range(OBJECTS))
    program = (model, guide, params, canvases, None)
    bound = rx.discrete_elbo(*program, rng_key=keys[1], num_particles=10)
    return first * (1 + second), bound / len(canvases)


def run(options: Any, command: str) -> None:
    """Train, then count on canvases of digits that training has not seen."""
    data, key = load_canvases(), jax.random.key(options.seed)
    train, test, shown = map(jnp.asarray, (data.train, data.test, data.test[:SHOWN]))
    model, guide = programs(options.seed)
    elbo = METHODS[options.method]()
    ready = guide if options.method == "host" else elbo.prepare(guide)
    svi = SVI(model, ready, numpyro.optim.Adam(1e-3), elbo)
    began = time.perf_counter()
    params = rx.fit(svi, key, options.steps, train, progress=not options.quiet).params
    seconds = time.perf_counter() - began

    counts, bound = jax.jit(partial(judge, options.seed, model, guide))(params, test)
    right = (np.asarray(counts) == data.test_counts).mean()
    draws = rx.to_arviz(model, guide, params, shown, None, rng_key=key, num_draws=100)
    title = "What is on a canvas, in NumPyro"
    pictures = {
        "canvases.png": lambda path: canvases_chart(path, shown, draws["posterior"], title),
        "posterior.nc": draws.to_netcdf,
    }
    metrics = {"counted_right": right, "bound": bound.item(), "seconds": seconds}
    lines = [f"{right:.1%} of draws count right", f"bound {bound:.2f} nats a canvas"]
    finish(options, command, metrics, pictures, lines)


main = Program("numpyro.attend_infer_repeat", __doc__, run, needs=("sklearn",))
main.add("--method", choices=METHODS, default="rebar", help="what trains it")
main.add("--steps", type=positive_int, default=1000, help="of Adam")

if __name__ == "__main__":
    sys.exit(main())
