"""Which loss to fit a program with."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from typing import Any

import jax
from numpyro import handlers
from numpyro.infer.elbo import TraceEnum_ELBO

from relaxppl.common import diagnostics
from relaxppl.common.docstring import documented_by
from relaxppl.common.recommend import run
from relaxppl.common.recommend.recommendation import Option, Recommendation
from relaxppl.common.recommend.trials import AVERAGE, SCORE
from relaxppl.numpyro.declared import Declared
from relaxppl.numpyro.elbo import classes as elbos
from relaxppl.numpyro.elbo.parameters import PreparedGuide
from relaxppl.numpyro.enumerated import Inspected
from relaxppl.numpyro.gradients import GradientSampler, quick_options
from relaxppl.numpyro.without_sites import without_sites


@documented_by(run.recommend)
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

    :param params: where to measure; None for the initial values.
    :param seconds: the time to spend, compilation included; two losses are measured however long
        they take. If it is short, all are compiled without optimisation.
    :param rng_key: a PRNG key; None for that of seed 0.
    """
    budget = run.begun(seconds, num_draws)
    key = jax.random.key(0) if rng_key is None else rng_key
    if isinstance(guide, PreparedGuide):
        guide = guide.guide
    declared = Declared(model, guide, params, args, kwargs, key)
    if not declared.discrete:
        raise diagnostics.no_discrete_site(guide)
    # Parameters that an ELBO learned for itself are good for the others too.
    program = {**declared.params, **declared.program_state}
    values = {**(params or {}), **program}
    seen = Inspected(model, guide, args, kwargs, program)

    def enumerated() -> tuple[Any, Any, Any] | str:
        return _obstacle(declared) or _enumerated(model, guide, frozenset(seen.variables))

    def samplers(entries: Any) -> tuple[Any, Any]:
        makers = partial(_makers, entries, values, args, kwargs, key)
        quick = quick_options()
        return makers(quick), None if quick is None else makers(None)

    host = run.Host(seen, enumerated, elbos, handlers.infer_config, samplers, ready=(AVERAGE,))
    return run.recommend(host, model, guide, budget, num_draws, tune)


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


def _obstacle(declared: Declared) -> str | None:
    if declared.program_state:
        return (
            "NumPyro's TraceEnum_ELBO takes no program with mutable state, here "
            f"{', '.join(map(repr, declared.program_state))}"
        )
    try:
        import funsor  # noqa: F401
    except ImportError:
        return "NumPyro's TraceEnum_ELBO needs the package funsor: pip install funsor"
    return None


def _enumerated(model: Any, guide: Any, names: frozenset[str]) -> tuple[Any, Any, Any]:
    from numpyro.contrib.funsor import config_enumerate

    return TraceEnum_ELBO(), config_enumerate(model), without_sites(guide, names)


__all__ = ["Option", "Recommendation", "recommend"]
