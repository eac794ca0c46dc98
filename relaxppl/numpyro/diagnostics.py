"""How good an ELBO's gradient is on a program of one's own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from typing import Any

import jax
from numpyro.infer import TraceGraph_ELBO
from numpyro.infer.elbo import TraceEnum_ELBO

from relaxppl.common import diagnostics
from relaxppl.common.diagnostics import Comparison, GradientStats
from relaxppl.common.docstring import documented_by
from relaxppl.common.enumerated import MOST_STATES
from relaxppl.numpyro.elbo.engine import DiscreteELBO
from relaxppl.numpyro.elbo.parameters import PreparedGuide
from relaxppl.numpyro.enumerated import EnumeratedELBO, Inspected
from relaxppl.numpyro.gradients import GradientSampler

Params = dict[str, Any]


@documented_by(diagnostics.gradient_stats)
def gradient_stats(
    elbo: Any,
    model: Callable[..., Any],
    guide: Callable[..., Any],
    params: Params | None,
    *args: Any,
    num_draws: int = 1000,
    rng_key: jax.Array | None = None,
    tune: int = 100,
    exact: bool = True,
    **kwargs: Any,
) -> GradientStats:
    """Returns the mean, variance, bias and cost of an ELBO's gradient at given parameters.

    :param params: the parameters, as ``SVI.get_params`` returns them, and the mutable state where
        the program has any; None for the initial ones.
    :param rng_key: a PRNG key; None for that of seed 0.
    """
    program = (model, guide, params, args, kwargs, rng_key)
    return diagnostics.gradient_stats(_HOST, elbo, *program, num_draws, tune, exact)


@documented_by(diagnostics.compare_estimators)
def compare_estimators(
    estimators: Mapping[str, Any] | Sequence[Any],
    model: Callable[..., Any],
    guide: Callable[..., Any],
    params: Params | None,
    *args: Any,
    num_draws: int = 1000,
    seconds: float | None = None,
    rng_key: jax.Array | None = None,
    tune: int = 100,
    exact: bool = True,
    **kwargs: Any,
) -> Comparison:
    """Returns several ELBOs side by side, on one's own program, best at equal time first.

    :param rng_key: a PRNG key; None for that of seed 0.
    """
    program = (model, guide, params, args, kwargs, rng_key)
    return diagnostics.compare_estimators(
        _HOST, estimators, *program, num_draws, seconds, tune, exact
    )


def exact_gradient(
    model: Callable[..., Any],
    guide: Callable[..., Any],
    params: Params,
    args: tuple[Any, ...],
    kwargs: Params,
    num_draws: int,
    most_states: int = MOST_STATES,
) -> GradientStats | None:
    """Returns the gradient with the discrete sites enumerated, or None where that is too much.

    :param params: constrained values of the program's parameters, and its mutable state.
    :param num_draws: of what else the guide draws.
    :param most_states: the most joint values to sum over.
    """
    if isinstance(guide, PreparedGuide):
        guide = guide.guide
    inspected = Inspected(model, guide, args, kwargs, params)
    if not inspected.variables:
        raise diagnostics.no_discrete_site(guide)
    if inspected.states > most_states:
        return None
    elbo = EnumeratedELBO(inspected)
    key = jax.random.key(1)
    sampler = GradientSampler(elbo, model, guide, params, args, kwargs, key)
    moments = sampler.draw(num_draws if inspected.random else 1)
    return diagnostics.summary("exact", moments, 0.0, inspected.states)


class _Program:
    """A program at given parameters, for the samplers of several losses."""

    def __init__(self, model: Any, guide: Any, *rest: Any) -> None:
        self.model, self.guide = model, guide
        self.params, self.args, self.kwargs, key = rest
        self.key = jax.random.key(0) if key is None else key

    def sampler(self, elbo: Any, model: Any, guide: Any) -> GradientSampler:
        return GradientSampler(elbo, model, guide, self.params, self.args, self.kwargs, self.key)

    def exact(self, sampler: GradientSampler, num_draws: int) -> GradientStats | None:
        params = {**sampler.declared.params, **sampler.declared.program_state}
        return exact_gradient(self.model, self.guide, params, self.args, self.kwargs, num_draws)


# The host's other ELBOs leave the score function of discrete sites out.
_HOST = diagnostics.Host(
    program=lambda *given: nullcontext(_Program(*given)),
    unbiased=(DiscreteELBO, TraceGraph_ELBO, TraceEnum_ELBO),
)

__all__ = ["Comparison", "GradientStats", "compare_estimators", "gradient_stats"]
