"""Which of three groups is each of ten irises from? A mixture, in Pyro.

Only the petals' lengths are known; the groups' means and the group of each flower are not. The
groups stay discrete, and nobody writes a guide: AutoDiscrete reads it off the model.

    python -m models.pyro.mixture
"""

from __future__ import annotations

import sys
from typing import Any

import arviz as az
import numpy as np
import pyro
import pyro.distributions as dist
import torch
from pyro.infer import SVI, Trace_ELBO
from pyro.infer.autoguide import AutoNormal, init_to_value

import relaxppl.pyro as rx
from models.common.cli import positive_float, positive_int
from models.common.figures import group_shares
from models.common.program import Program, finish
from models.data import petal_lengths

PRIOR, SCALE = (2.0, 4.0, 6.0), 0.8
TEMPERATURE = 0.5
MANY: Any = {"num_particles": 8, "vectorize_particles": True, "max_plate_nesting": 1}
METHODS = {
    "relaxed": lambda: Trace_ELBO(**MANY),
    "straight-through": lambda: Trace_ELBO(**MANY),
    "score-function": lambda: rx.ScoreFunction_ELBO(**MANY, baseline="average"),
    "rloo": lambda: rx.RLOO_ELBO(**MANY),
    "disarm": lambda: rx.DisARM_ELBO(**MANY),
    "rebar": lambda: rx.REBAR_ELBO(**MANY),
    "relax": lambda: rx.RELAX_ELBO(**MANY),
    "summed": lambda: rx.RLOO_ELBO(**MANY),
}
"""The host's ELBO for a relaxed program, one of relaxppl's where it stays discrete."""


def programs(summed: bool = False) -> tuple[Any, Any]:
    """The model and the guide.

    :param summed: whether the groups are summed out, which leaves the guide the means alone.
    """
    groups, prior = len(PRIOR), torch.tensor(PRIOR)
    infer = {"enumerate": "parallel"} if summed else {}

    def model(lengths: torch.Tensor) -> None:
        loc = pyro.sample("loc", dist.Normal(prior, 1.0).to_event(1))
        with pyro.plate("flower", len(lengths)):
            law = dist.OneHotCategorical(logits=torch.zeros(groups))
            group = pyro.sample("group", law, infer=infer)
            pyro.sample("length", dist.Normal((group * loc).sum(-1), SCALE), obs=lengths)

    # Where the groups are summed out, the means alone are left: a case for the host's own guide.
    begin: Any = {"init_loc_fn": init_to_value(values={"loc": prior})}
    if summed:
        return model, AutoNormal(pyro.poutine.block(model, hide=["group"]), **begin)
    return model, rx.AutoDiscrete(model, **begin)


def method(name: str) -> tuple[Any, Any, Any, Any]:
    """The loss, the programs to train with it, and the guide proper."""
    model, guide = programs(summed=name == "summed")
    loss = METHODS[name]()
    if name == "relaxed":
        return loss, rx.relax(model, TEMPERATURE), rx.relax(guide, TEMPERATURE), guide
    if name == "straight-through":
        config = {"group": rx.RelaxedOneHotCategoricalStraightThrough}
        trained = [rx.relax(program, TEMPERATURE, config) for program in (model, guide)]
        return loss, *trained, guide
    # What the ELBO learns itself, such as a baseline or a temperature, is part of the guide.
    return loss, model, loss.prepare(guide), guide


def train(options: Any, name: str, lengths: np.ndarray) -> tuple[Any, Any]:
    """The model and the guide, trained by a method of METHODS."""
    pyro.set_rng_seed(options.seed)
    pyro.clear_param_store()
    loss, model, trained_guide, guide = method(name)
    svi = SVI(model, trained_guide, pyro.optim.Adam({"lr": options.learning_rate}), loss)
    rx.fit(svi, options.steps, torch.tensor(lengths).float(), progress=not options.quiet)
    return programs(summed=name == "summed")[0], guide


def answer(guide: Any) -> dict[str, np.ndarray]:
    """What the guide says: "mean" and "spread" of the means, and "probs" of the groups."""
    low, high = guide.quantiles([0.5, 0.841344746])["loc"]
    probs = {} if isinstance(guide, AutoNormal) else {"probs": guide.probs()["group"]}
    found = {"mean": low, "spread": high - low, **probs}
    return {name: value.detach().numpy().astype(float) for name, value in found.items()}


def run(options: Any, command: str) -> None:
    """Train, and say what is known of the means and of each flower."""
    lengths = petal_lengths()
    model, guide = train(options, options.method, lengths)
    y = torch.tensor(lengths).float()
    many: Any = {"vectorize_particles": True, "max_plate_nesting": 1}
    bound = rx.discrete_elbo(model, guide, None, y, **many)
    # Groups that were summed out are drawn given everything else.
    data = rx.to_arviz(model, guide, None, y, num_draws=2000)
    shares = data["posterior"]["group"].values.mean((0, 1))
    finish(
        options,
        command,
        {"discrete_bound": bound, "group_shares": shares},
        {
            "groups.png": lambda path: group_shares(path, {options.method: shares}, lengths),
            "posterior.nc": data.to_netcdf,
        },
        [
            f"bound on the log evidence  {bound:.2f} (the log evidence is -20.45)",
            str(az.summary(data, var_names=["loc"], kind="stats")),
            *(f"{x:4.1f} cm  {np.round(p, 2)}" for x, p in zip(lengths, shares, strict=True)),
        ],
    )


main = Program("pyro.mixture", __doc__, run, needs=("sklearn",))
main.add("--method", choices=METHODS, default="rebar", help="what trains it")
main.add("--steps", type=positive_int, default=800, help="of Adam")
main.add("--learning-rate", type=positive_float, default=0.03, help="of Adam")

if __name__ == "__main__":
    sys.exit(main())
