"""How many digits are on a canvas, and where: attend, infer, repeat, in Pyro.

A canvas shows up to two digits; nobody says how many. The guide looks for one as long as it finds
one: a coin says whether there is another, three numbers how large it is and where, ten what it
looks like; and it is erased before the next step. The model draws the digits again. Both multiply
by the coins, so that they also run at the values between 0 and 1 that REBAR needs.

    python -m models.pyro.attend_infer_repeat
"""

from __future__ import annotations

import sys
import time
from functools import partial
from typing import Any

import numpy as np
import pyro
import pyro.distributions as dist
import torch
from pyro.infer import SVI, RenyiELBO, TraceGraph_ELBO
from torch import nn

import relaxppl.pyro as rx
from models.canvases import GLIMPSE, SIDE, canvases_chart, in_box, load_canvases, on_canvas
from models.common.cli import positive_int
from models.common.program import Program, finish

OBJECTS, WHAT, BATCH, SHOWN = 2, 10, 64, 12


def interpolate(image: torch.Tensor, at: torch.Tensor) -> torch.Tensor:
    """A square image between its pixels: rows at[..., 0, :], columns at[..., 1, :]; 0 outside."""
    hats = (1.0 - (at[..., None] - torch.arange(image.shape[-1])).abs()).relu()
    return hats[..., 0, :, :] @ image @ hats[..., 1, :, :].mT


def network(inputs: int, outputs: int, hidden: int) -> nn.Sequential:
    """One hidden layer."""
    return nn.Sequential(nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, outputs))


def programs(seed: int, baseline: bool = False) -> tuple[Any, Any]:
    """The model and the guide, with the first weights of a seed; a baseline is for Pyro's loss."""
    pyro.set_rng_seed(seed)
    pyro.clear_param_store()
    find, look = network(SIDE**2, 7, 200), network(GLIMPSE**2, 2 * WHAT, 64)
    decoder, guess = network(WHAT, GLIMPSE**2, 64), network(SIDE**2, 1, 200)

    def coin(step: int, there: torch.Tensor, logit: Any, **infer: Any) -> torch.Tensor:
        # After an object that is not there comes none.
        logits = there * logit + (1.0 - there) * -8.0
        return there * pyro.sample(f"present_{step}", dist.Bernoulli(logits=logits), infer=infer)

    def normal(name: str, there: torch.Tensor, numbers: torch.Tensor) -> torch.Tensor:
        # What is not there has the model's own law, and so costs nothing.
        loc, log_scale = (part * there[..., None] for part in numbers.chunk(2, -1))
        law = dist.Normal(loc, (log_scale - 2.0 * there[..., None]).exp())
        return pyro.sample(name, law.to_event(1))

    def model(canvases: torch.Tensor, batch: int | None = BATCH) -> None:
        pyro.module("decoder", decoder)
        with pyro.plate("canvas", len(canvases), subsample_size=batch) as rows:
            there, made = torch.ones(len(rows)), torch.zeros(())
            for step in range(OBJECTS):
                there = coin(step, there, 0.0)
                where = pyro.sample(f"where_{step}", dist.Normal(torch.zeros(3), 1.0).to_event(1))
                what = pyro.sample(f"what_{step}", dist.Normal(torch.zeros(WHAT), 1.0).to_event(1))
                glimpse = (decoder(what) - 2.0).sigmoid().unflatten(-1, (GLIMPSE, GLIMPSE))
                drawn = interpolate(glimpse, in_box(where[..., None], torch.arange(SIDE)))
                made = made + there[..., None, None] * drawn
            pyro.deterministic("made", made, event_dim=2)
            pyro.sample("pixels", dist.Normal(made, 0.3).to_event(2), obs=canvases[rows])

    def guide(canvases: torch.Tensor, batch: int | None = BATCH) -> None:
        pyro.module("guide", nn.ModuleList([find, look, guess] if baseline else [find, look]))
        with pyro.plate("canvas", len(canvases), subsample_size=batch) as rows:
            there, left = torch.ones(len(rows)), canvases[rows]
            for step in range(OBJECTS):
                found = find(left.flatten(-2))
                seen = (there[..., None, None] * left).flatten(-2)
                own = {"nn_baseline": lambda x: guess(x)[..., 0], "nn_baseline_input": seen}
                there = coin(step, there, found[..., 0], estimator_input=seen, baseline=own)
                where = normal(f"where_{step}", there, found[..., 1:])
                glimpse = interpolate(left, on_canvas(where[..., None], torch.arange(GLIMPSE)))
                normal(f"what_{step}", there, look(glimpse.flatten(-2)))
                at, white = in_box(where[..., None], torch.arange(SIDE)), torch.ones(2 * (GLIMPSE,))
                left = left * (1.0 - there[..., None, None] * interpolate(white, at))

    return model, guide


METHODS = {
    "disarm": rx.DisARM_ELBO,
    "host": TraceGraph_ELBO,
    "host-draws": lambda: RenyiELBO(alpha=0.0, num_particles=5, vectorize_particles=True),
    "rebar": rx.REBAR_ELBO,
    "score": lambda: rx.ScoreFunction_ELBO(baseline="network", hidden=200),
    "vimco": lambda: rx.VIMCO_ELBO(num_particles=5, vectorize_particles=True),
}


def train(options: Any, canvases: Any) -> tuple[Any, Any]:
    """Returns the trained programs."""
    model, guide = programs(options.seed, baseline=options.method == "host")
    elbo, own = METHODS[options.method](), not options.method.startswith("host")
    ready = elbo.prepare(guide) if own else guide
    svi = SVI(model, ready, pyro.optim.Adam({"lr": 1e-3}), elbo)
    progress, given = not options.quiet, torch.as_tensor(canvases)
    rx.fit(svi, options.steps, given, progress=progress, compile=own)
    return model, guide


def judge(model: Any, guide: Any, canvases: Any) -> tuple[np.ndarray, float]:
    """Returns draws of the number of digits, and the bound of a canvas."""
    given = torch.as_tensor(canvases), None
    draws = [pyro.poutine.trace(guide).get_trace(*given).nodes for _ in range(10)]
    coins = [[draw[f"present_{i}"]["value"].numpy() for i in range(OBJECTS)] for draw in draws]
    bound = rx.discrete_elbo(model, guide, None, *given, num_particles=10)
    return np.cumprod(coins, 1).sum(1), float(bound) / len(canvases)


def run(options: Any, command: str) -> None:
    """Train, then count on canvases of digits that training has not seen."""
    data, began = load_canvases(), time.perf_counter()
    model, guide = train(options, data.train)
    metrics: dict[str, Any] = {"seconds": time.perf_counter() - began}
    counts, bound = judge(model, guide, data.test)
    right, shown = (counts == data.test_counts).mean(), data.test[:SHOWN]
    draws = rx.to_arviz(model, guide, None, torch.as_tensor(shown), None, num_draws=100)
    chart = partial(canvases_chart, title="What is on a canvas, in Pyro")
    picture = partial(chart, canvases=shown, posterior=draws["posterior"])
    pictures = {"canvases.png": picture, "posterior.nc": draws.to_netcdf}
    metrics |= {"counted_right": right, "bound": bound}
    lines = [f"{right:.1%} of draws count right", f"bound {bound:.2f} nats a canvas"]
    finish(options, command, metrics, pictures, lines)


main = Program("pyro.attend_infer_repeat", __doc__, run, needs=("sklearn",))
main.add("--method", choices=METHODS, default="rebar", help="what trains it")
main.add("--steps", type=positive_int, default=600, help="of Adam")

if __name__ == "__main__":
    sys.exit(main())
