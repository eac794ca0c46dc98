"""Which loss to fit a program with."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cache, partial
from typing import Any

import jax
from numpyro import handlers
from numpyro.infer.elbo import TraceEnum_ELBO

from relaxppl.common import diagnostics, screening
from relaxppl.common import recommend as common
from relaxppl.common.recommend import ENUMERATION, Option, Recommendation
from relaxppl.common.trials import AVERAGE, SCORE, trials
from relaxppl.numpyro.elbo import classes as elbos
from relaxppl.numpyro.elbo.parameters import PreparedGuide
from relaxppl.numpyro.enumerated import Inspected
from relaxppl.numpyro.gradients import Declared, GradientSampler, quick_options
from relaxppl.numpyro.without_sites import without_sites


def recommend(
    model: Callable[..., Any],
    guide: Callable[..., Any],
    *args: Any,
    params: dict[str, Any] | None = None,
    seconds: float = 30.0,
    num_draws: int = 1000,
    tune: int = 100,
    rng_key: jax.Array | None = None,
    **kwargs: Any,
) -> Recommendation:
    """Returns which loss to fit a program with: what applies, why, and how they measure up.

    Where the sites can be summed out of the model cheaply, that is tried with the host's
    ``TraceEnum_ELBO`` and comes first. The estimators that apply are ranked by variance times time.

    :param model: the model.
    :param guide: the guide, with at least one discrete latent site.
    :param args: the arguments of model and guide.
    :param params: where to measure; None for the initial values.
    :param seconds: the time to spend, compilation included; two losses are measured however long
        they take. If it is short, all are compiled without optimisation.
    :param num_draws: how many gradients to draw of each loss at most, at least 2.
    :param tune: for how many steps each ELBO first learns its own parameters, at most.
    :param rng_key: a PRNG key; None for that of seed 0.
    :param kwargs: the keyword arguments of model and guide.
    :returns: to be printed; its ``loss``, ``model`` and ``guide`` are for SVI.
    :raises ValueError: for a guide without discrete sites, params that do not fit, num_draws below
        2 or seconds that are not positive.
    """
    diagnostics.check_draws(num_draws)
    budget = screening.Budget(seconds, time.perf_counter)
    key = jax.random.key(0) if rng_key is None else rng_key
    if isinstance(guide, PreparedGuide):
        guide = guide.guide
    declared = Declared(model, guide, params, args, kwargs, key)
    if not declared.discrete:
        raise diagnostics.no_discrete_site(guide)
    # Parameters that an ELBO learned for itself are good for the others too.
    values = {**(params or {}), **declared.params}
    inspected = Inspected(model, guide, args, kwargs, declared.params)
    entries: dict[str, tuple[Any, Any, Any]] = {}
    reasons: dict[str, str] = {}
    obstacle = common.enumeration_obstacle(
        inspected.variables, inspected.model_latents, inspected.dependent, inspected.coupled
    )
    if obstacle is None:
        obstacle = _without_funsor()
    if obstacle is None:
        entries[ENUMERATION] = _enumerated(model, guide, frozenset(inspected.variables))
    else:
        reasons[ENUMERATION] = obstacle
    tried = trials(inspected.variables, inspected.coupled, inspected.candidates)
    for name, trial in tried.items():
        loss = getattr(elbos, trial.class_name)(**trial.options)
        obstacle = trial.obstacle(loss, inspected.candidates)
        if obstacle is None:
            asking = handlers.infer_config(guide, trial.config) if trial.sites else guide
            entries[name] = (loss, model, asking)
        else:
            reasons[name] = obstacle
    makers = partial(_makers, entries, values, args, kwargs, key)
    quick = quick_options()
    screened = screening.screen(
        makers(quick),
        budget,
        tune,
        num_draws,
        ready=(AVERAGE,),
        optimising=None if quick is None else makers(None),
    )
    return common.conclude(
        entries,
        reasons,
        screened,
        budget,
        num_draws,
        inspected.variables,
        inspected.upstream,
        {name: trial.said for name, trial in tried.items()},
    )


def _makers(
    entries: dict[str, tuple[Any, Any, Any]],
    values: dict[str, Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    key: jax.Array,
    compiler_options: dict[str, Any] | None,
) -> dict[str, Callable[[], GradientSampler]]:
    """Returns by name what makes a sampler of an entry."""
    makers: dict[str, Callable[[], GradientSampler]] = {
        name: partial(GradientSampler, *entry, values, args, kwargs, key, 0.02, compiler_options)
        for name, entry in entries.items()
    }
    # The score function is what has a baseline, with a baseline that stays zero: compiled once.
    makers[AVERAGE] = average = cache(makers[AVERAGE])
    makers[SCORE] = lambda: average().without_average()
    return makers


def _without_funsor() -> str | None:
    try:
        import funsor  # noqa: F401
    except ImportError:
        return "NumPyro's TraceEnum_ELBO needs the package funsor: pip install funsor"
    return None


def _enumerated(model: Any, guide: Any, names: frozenset[str]) -> tuple[Any, Any, Any]:
    from numpyro.contrib.funsor import config_enumerate

    return TraceEnum_ELBO(), config_enumerate(model), without_sites(guide, names)


__all__ = ["Option", "Recommendation", "recommend"]
