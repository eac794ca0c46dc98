"""Which loss to fit a program with."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pyro.poutine as poutine
from pyro.infer import TraceEnum_ELBO, config_enumerate

from relaxppl.common import diagnostics
from relaxppl.common.docstring import documented_by
from relaxppl.common.recommend import run
from relaxppl.common.recommend.recommendation import Option, Recommendation
from relaxppl.pyro.elbo import classes as elbos
from relaxppl.pyro.enumerated import Inspected
from relaxppl.pyro.gradients import GradientSampler, borrowed


@documented_by(run.recommend)
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

    The parameter store and the state of the random numbers are left as they were.

    :param params: constrained values by name of where to measure; None for those of the store.
    :param seconds: the time to spend; two losses are measured however long they take.
    :param seed: of the draws.
    """
    budget = run.begun(seconds, num_draws)
    with diagnostics.said_once(), borrowed(model, guide, params, args, kwargs, seed) as lent:
        if not lent.discrete:
            raise diagnostics.no_discrete_site(guide)
        seen = Inspected(model, guide, args, kwargs)

        def enumerated() -> tuple[Any, Any, Any]:
            hidden = poutine.block(guide, hide=list(seen.variables))
            return TraceEnum_ELBO(), config_enumerate(model), hidden

        def samplers(entries: Any) -> tuple[Any, None]:
            rest = (lent, args, kwargs)
            return {n: partial(GradientSampler, *(*e, *rest)) for n, e in entries.items()}, None

        host = run.Host(seen, enumerated, elbos, poutine.infer_config, samplers)
        return run.recommend(host, model, guide, budget, num_draws, tune)


__all__ = ["Option", "Recommendation", "recommend"]
