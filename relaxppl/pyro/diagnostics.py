"""How good an ELBO's gradient is on a program of one's own."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from pyro.infer import Trace_ELBO, TraceEnum_ELBO, TraceGraph_ELBO

from relaxppl.common import diagnostics
from relaxppl.common.diagnostics import Comparison, GradientStats
from relaxppl.common.docstring import documented_by
from relaxppl.common.enumerated import MOST_STATES
from relaxppl.pyro.elbo.engine import DiscreteELBO
from relaxppl.pyro.enumerated import CannotEnumerateError, EnumeratedELBO, Inspected
from relaxppl.pyro.gradients import Borrowed, GradientSampler, borrowed

Params = dict[str, Any]

_MOST_RUNS = 4096


@documented_by(diagnostics.gradient_stats)
def gradient_stats(
    elbo: Any,
    model: Callable[..., Any],
    guide: Callable[..., Any],
    params: Params | None,
    *args: Any,
    num_draws: int = 1000,
    seed: int = 0,
    tune: int = 100,
    exact: bool = True,
    **kwargs: Any,
) -> GradientStats:
    """Returns the mean, variance, bias and cost of an ELBO's gradient at given parameters.

    The parameter store and the state of the random numbers are left as they were.

    :param params: constrained values of the parameters by name; None for those of the store.
    :param seed: of the draws.
    """
    program = (model, guide, params, args, kwargs, seed)
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
    seed: int = 0,
    tune: int = 100,
    exact: bool = True,
    **kwargs: Any,
) -> Comparison:
    """Returns several ELBOs side by side, on one's own program, best at equal time first.

    The parameter store and the state of the random numbers are left as they were.

    :param seconds: a limit on the time of the draws; None for none.
    :param seed: of the draws.
    """
    program = (model, guide, params, args, kwargs, seed)
    return diagnostics.compare_estimators(
        _HOST, estimators, *program, num_draws, seconds, tune, exact
    )


def exact_gradient(
    model: Callable[..., Any],
    guide: Callable[..., Any],
    lent: Borrowed,
    args: tuple[Any, ...],
    kwargs: Params,
    num_draws: int,
    most_states: int = MOST_STATES // 4,
) -> GradientStats | None:
    """Returns the gradient with the discrete sites enumerated, or None where that is too much.

    :param lent: the parameters.
    :param num_draws: of what else the guide draws, as far as time allows.
    :param most_states: the most joint values to sum over.
    """
    inspected = Inspected(model, guide, args, kwargs)
    if not inspected.variables:
        raise diagnostics.no_discrete_site(guide)
    while True:
        states = inspected.states
        if states > most_states:
            return None
        sampler = GradientSampler(EnumeratedELBO(inspected), model, guide, lent, args, kwargs)
        count = min(num_draws, max(int(_MOST_RUNS / states), 20)) if inspected.random else 1
        try:
            return diagnostics.summary("exact", sampler.draw(count), 0.0, states)
        except CannotEnumerateError as error:
            if not inspected.by_plate:
                warnings.warn(
                    f"no exact gradient to compare with: {error}, so that there is more to sum "
                    "over than one run shows. The rest is as it is; exact=False leaves this out",
                    stacklevel=2,
                )
                return None
            inspected.by_plate = False


class _Program:
    """A program at given parameters, for the samplers of several losses."""

    def __init__(self, model: Any, guide: Any, args: Any, kwargs: Any, lent: Borrowed) -> None:
        self.model, self.guide = model, guide
        self.args, self.kwargs, self.lent = args, kwargs, lent

    def sampler(self, elbo: Any, model: Any, guide: Any) -> GradientSampler:
        return GradientSampler(elbo, model, guide, self.lent, self.args, self.kwargs)

    def exact(self, sampler: Any, num_draws: int) -> GradientStats | None:
        return exact_gradient(self.model, self.guide, self.lent, self.args, self.kwargs, num_draws)


@contextmanager
def _program(
    model: Any, guide: Any, params: Any, args: Any, kwargs: Any, seed: int
) -> Iterator[_Program]:
    with borrowed(model, guide, params, args, kwargs, seed) as lent:
        yield _Program(model, guide, args, kwargs, lent)


_HOST = diagnostics.Host(
    program=_program, unbiased=(DiscreteELBO, Trace_ELBO, TraceGraph_ELBO, TraceEnum_ELBO)
)

__all__ = ["Comparison", "GradientStats", "compare_estimators", "gradient_stats"]
