"""How good an ELBO's gradient is on a program of one's own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pyro.infer import Trace_ELBO, TraceEnum_ELBO, TraceGraph_ELBO

from relaxppl.common import diagnostics
from relaxppl.common.diagnostics import Comparison, GradientStats
from relaxppl.common.enumerated import MOST_STATES
from relaxppl.pyro.elbo.engine import DiscreteELBO
from relaxppl.pyro.enumerated import CannotEnumerateError, EnumeratedELBO, Inspected
from relaxppl.pyro.gradients import Borrowed, GradientSampler, borrowed

Params = dict[str, Any]

_MOST_RUNS = 4096


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

    :param elbo: a loss of this package or of the host.
    :param model: the model.
    :param guide: the guide, with at least one discrete latent site.
    :param params: constrained values of the parameters by name; None for those of the store.
    :param args: the arguments of model and guide.
    :param num_draws: how many gradients to draw, at least 2.
    :param seed: of the draws.
    :param tune: for how many steps the ELBO first learns its own parameters, such as REBAR's
        temperature, if params or the store does not have them.
    :param exact: whether to enumerate the discrete sites for the exact gradient, where they have
        few enough joint values. What else the guide draws is averaged over.
    :param kwargs: the keyword arguments of model and guide.
    :returns: arrays by parameter, in unconstrained coordinates.
    :raises ValueError: for a guide without discrete sites, params that do not fit, or num_draws
        below 2.
    """
    diagnostics.check_draws(num_draws)
    with borrowed(model, guide, params, args, kwargs, seed) as lent:
        if not lent.discrete:
            raise diagnostics.no_discrete_site(guide)
        sampler = GradientSampler(elbo, model, guide, lent, args, kwargs)
        sampler.tune(tune)
        name = type(elbo).__name__
        stats = diagnostics.measure({name: sampler}, num_draws)[name]
        reference = None
        if exact:
            reference = exact_gradient(model, guide, lent, args, kwargs, num_draws)
    return diagnostics.with_exact(stats, reference)


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
    while True:
        states = inspected.states
        if states > most_states:
            return None
        sampler = GradientSampler(EnumeratedELBO(inspected), model, guide, lent, args, kwargs)
        count = min(num_draws, max(int(_MOST_RUNS / states), 20)) if inspected.random else 1
        try:
            return diagnostics.summary("exact", sampler.draw(count), 0.0, states)
        except CannotEnumerateError:
            if not inspected.by_plate:
                return None
            inspected.by_plate = False


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

    They take turns, so that a busy machine slows them alike. The parameter store and the state of
    the random numbers are left as they were.

    :param estimators: ELBOs by name, or in a list; in place of one, (elbo, model, guide) for a
        program of its own with the same parameters, such as a relaxed one.
    :param model: the model.
    :param guide: the guide, with at least one discrete latent site.
    :param params: as of :func:`gradient_stats`.
    :param args: the arguments of model and guide.
    :param num_draws: how many gradients to draw of each, at least 2.
    :param seconds: a limit on the time of the draws; None for none.
    :param seed: of the draws.
    :param tune: as of :func:`gradient_stats`.
    :param exact: as of :func:`gradient_stats`.
    :param kwargs: the keyword arguments of model and guide.
    :returns: a table to print, ``to_dataset()`` and ``plot()``; what cannot run is listed with the
        reason.
    :raises ValueError: as :func:`gradient_stats`.
    """
    diagnostics.check_draws(num_draws)
    entries = diagnostics.named(estimators)
    samplers: dict[str, GradientSampler] = {}
    failures: dict[str, str] = {}
    with borrowed(model, guide, params, args, kwargs, seed) as lent:
        if not lent.discrete:
            raise diagnostics.no_discrete_site(guide)
        for name, entry in entries.items():
            whole = entry if isinstance(entry, tuple) else (entry, model, guide)
            elbo, own_model, own_guide = whole
            sampler = GradientSampler(elbo, own_model, own_guide, lent, args, kwargs)
            try:
                sampler.tune(tune)
                sampler.draw(2)
            except (NotImplementedError, TypeError, ValueError) as error:
                failures[name] = str(error)
            else:
                samplers[name] = sampler
        stats = diagnostics.measure(samplers, num_draws, seconds) if samplers else {}
        if exact and samplers:
            reference = exact_gradient(model, guide, lent, args, kwargs, num_draws)
            for s in stats.values():
                diagnostics.with_exact(s, reference)
    return diagnostics.ranked(stats, {n: trusts(entries[n]) for n in stats}, failures)


def trusts(entry: Any) -> bool | None:
    """Returns whether a loss is unbiased at discrete sites by construction; None if unknown."""
    if isinstance(entry, tuple):
        return None
    return isinstance(entry, (DiscreteELBO, Trace_ELBO, TraceGraph_ELBO, TraceEnum_ELBO))


__all__ = ["Comparison", "GradientStats", "compare_estimators", "gradient_stats"]
