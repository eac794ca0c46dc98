"""Which loss to fit a program with."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import pyro.poutine as poutine
from pyro.infer import TraceEnum_ELBO, config_enumerate

from relaxppl.common import diagnostics, screening
from relaxppl.common import recommend as common
from relaxppl.common.recommend import ENUMERATION, Option, Recommendation
from relaxppl.common.trials import trials
from relaxppl.pyro.elbo import classes as elbos
from relaxppl.pyro.enumerated import Inspected
from relaxppl.pyro.gradients import GradientSampler, borrowed


def recommend(
    model: Callable[..., Any],
    guide: Callable[..., Any],
    *args: Any,
    params: dict[str, Any] | None = None,
    seconds: float = 30.0,
    num_draws: int = 1000,
    tune: int = 100,
    seed: int = 0,
    **kwargs: Any,
) -> Recommendation:
    """Returns which loss to fit a program with: what applies, why, and how they measure up.

    Where the sites can be summed out of the model cheaply, that is tried with the host's
    ``TraceEnum_ELBO`` and comes first. The estimators that apply are ranked by variance times time.
    The parameter store and the state of the random numbers are left as they were.

    :param model: the model.
    :param guide: the guide, with at least one discrete latent site.
    :param args: the arguments of model and guide.
    :param params: constrained values by name of where to measure; None for those of the store.
    :param seconds: the time to spend; two losses are measured however long they take.
    :param num_draws: how many gradients to draw of each loss at most, at least 2.
    :param tune: for how many steps each ELBO first learns its own parameters, at most.
    :param seed: of the draws.
    :param kwargs: the keyword arguments of model and guide.
    :returns: to be printed; its ``loss``, ``model`` and ``guide`` are for SVI.
    :raises ValueError: for a guide without discrete sites, params that do not fit, num_draws below
        2 or seconds that are not positive.
    """
    diagnostics.check_draws(num_draws)
    budget = screening.Budget(seconds, time.perf_counter)
    with diagnostics.said_once(), borrowed(model, guide, params, args, kwargs, seed) as lent:
        if not lent.discrete:
            raise diagnostics.no_discrete_site(guide)
        inspected = Inspected(model, guide, args, kwargs)
        entries: dict[str, tuple[Any, Any, Any]] = {}
        reasons: dict[str, str] = {}
        obstacle = common.enumeration_obstacle(
            inspected.variables, inspected.model_latents, inspected.dependent, inspected.coupled
        )
        if obstacle is None:
            names = list(inspected.variables)
            hidden = poutine.block(guide, hide=names)
            entries[ENUMERATION] = (TraceEnum_ELBO(), config_enumerate(model), hidden)
        else:
            reasons[ENUMERATION] = obstacle
        tried = trials(inspected.variables, inspected.coupled, inspected.candidates)
        for name, trial in tried.items():
            loss = getattr(elbos, trial.class_name)(**trial.options)
            obstacle = trial.obstacle(loss, inspected.candidates)
            if obstacle is None:
                asking = poutine.infer_config(guide, trial.config) if trial.sites else guide
                entries[name] = (loss, model, asking)
            else:
                reasons[name] = obstacle
        makers = {
            name: partial(GradientSampler, *entry, lent, args, kwargs)
            for name, entry in entries.items()
        }
        return common.conclude(
            entries,
            reasons,
            screening.screen(makers, budget, tune, num_draws),
            budget,
            num_draws,
            inspected.variables,
            inspected.upstream,
            {name: trial.said for name, trial in tried.items()},
        )


__all__ = ["Option", "Recommendation", "recommend"]
