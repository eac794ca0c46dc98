"""Simulation-based calibration of a guide: its posteriors of data whose origin is known."""

from __future__ import annotations

import copy
import dataclasses
import os
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import numpy as np
import pyro
import torch
from pyro import poutine
from pyro.infer import SVI

from relaxppl.common.arviz.request import Request
from relaxppl.common.calibrate import run as common
from relaxppl.common.calibrate.arguments import Arguments
from relaxppl.common.calibrate.result import Calibration
from relaxppl.common.calibrate.simulate import LOG_JOINT, drawn_of, quantities
from relaxppl.common.docstring import documented_by
from relaxppl.pyro.arviz import trace as read
from relaxppl.pyro.arviz.convert import array_of, draw_all, read_program
from relaxppl.pyro.arviz.sampler import Sampler
from relaxppl.pyro.random_state import rewound
from relaxppl.pyro.sites import SITES

Sites = dict[str, Any]


@documented_by(common.run)
def calibrate(
    *program: Any,
    num_simulations: int = 200,
    num_draws: int = 100,
    data: Callable[[dict[str, torch.Tensor]], tuple[Any, ...]] | None = None,
    level: float = 0.01,
    seed: int = 0,
    keep: str | os.PathLike[str] | None = None,
    progress: bool | None = None,
    parallel: bool | None = None,
    **kwargs: Any,
) -> Calibration:
    """Returns whether a guide's posteriors are right, on data sets drawn from the model.

    Called as ``calibrate(svi, result, *args)`` or ``calibrate(model, guide, params, *args)``, where
    None takes the parameters of the parameter store, one fit serves every data set, as it can where
    the guide reads the data; as ``calibrate(svi, num_steps, *args)`` each data set has a fit of its
    own, of so many steps from the initial values (those of a module from where it stands).

    :param seed: of the random numbers; torch's own go on as if nothing had been drawn.
    :param parallel: whether the draws of a data set run vectorised, as of :func:`to_arviz`.
    """
    asked = common.Request(num_simulations, num_draws, level, keep, progress)
    svi, steps = program[0] if program else None, None
    if isinstance(svi, SVI) and len(program) > 1 and common.is_count(program[1]):
        steps, args = int(program[1]), tuple(program[2:])
        model, guide, params = svi.model, svi.guide, None
    else:
        model, guide, params, args, _ = read_program("calibrate", program)
    request = Request(num_draws, posterior_predictive=False, log_likelihood=False)
    # The initial values of a fit are made anew for each data set.
    with pyro.get_param_store().scope() if steps is not None else nullcontext():
        if steps is not None:
            _check_no_params(model, guide, args, kwargs)
            with rewound():
                guide(*args, **kwargs)
        base = Sampler(model, guide, params, args, kwargs, request)
        first = base.prototype()
        vectorised = base.vectorises(num_draws) if parallel is None else parallel

        def observed_by(args: Any, kwargs: Any, values: Sites) -> dict[str, np.ndarray]:
            return dataclasses.replace(base, args=args, kwargs=kwargs).observations(values)

        arguments = Arguments(args, kwargs, data, first.observed, array_of, _like)
        with rewound():
            torch.manual_seed(seed)
            latents, observed = base.simulated()
        arguments.check(observed_by, latents, observed)
    found = quantities(SITES, latents, first.sites)

    def one(index: int) -> tuple[Sites, Sites]:
        torch.manual_seed(seed + index)
        with pyro.get_param_store().scope() if steps is not None else nullcontext():
            latents, observed = base.simulated()
            new, named = arguments.of(observed)
            run = dataclasses.replace(base, args=new, kwargs=named)
            if steps is not None:
                run.model, run.guide = _fitted(svi, steps, new, named)
            drawn = draw_all(run, run.draw, num_draws, None, vectorised)
            truth = {n: read.value_of(s) for n, s in latents.items()}
            truth[LOG_JOINT] = run.log_joint({n: s["value"] for n, s in latents.items()})
            draws = {n: drawn_of(n, drawn["posterior"]) for n in latents}
            draws[LOG_JOINT] = drawn["sample_stats"]["log_p"]
        return {n: np.asarray(v)[None] for n, v in truth.items()}, draws

    def simulate(start: int, end: int) -> tuple[Sites, Sites]:
        with rewound():
            return one(start)

    known = {} if steps is not None else base.trained()
    origin = common.identity(model, guide, steps, known, seed=str(seed))
    return common.run(asked, simulate, found, origin, 1, ("pyro", "pyro-ppl"))


def _fitted(svi: SVI, steps: int, args: Any, kwargs: Any) -> tuple[Any, Any]:
    """Returns model and guide after a fit in the parameter store; modules are copies."""
    run = copy.copy(svi)
    if isinstance(svi.guide, torch.nn.Module):
        # Together, as one may hold the other.
        run.model, run.guide = copy.deepcopy((svi.model, svi.guide))
    states = svi.optim.optim_objs
    before = set(states)
    for _ in range(steps):
        run.step(*args, **kwargs)
    for param in set(states) - before:
        del states[param]
    return run.model, run.guide


def _check_no_params(model: Any, guide: Any, args: Any, kwargs: Any) -> None:
    with rewound(), torch.no_grad(), poutine.block():
        drawn = poutine.trace(guide).get_trace(*args, **kwargs)
        trace = poutine.trace(poutine.replay(model, trace=drawn)).get_trace(*args, **kwargs)
    common.check_no_params([n for n, s in trace.nodes.items() if s["type"] == "param"])


def _like(new: torch.Tensor, old: Any) -> torch.Tensor:
    return new.to(torch.as_tensor(old).dtype)
