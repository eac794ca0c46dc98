"""How good an ELBO's gradient is on a program of one's own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
from numpyro.infer import TraceGraph_ELBO
from numpyro.infer.elbo import TraceEnum_ELBO

from relaxppl.common import diagnostics
from relaxppl.common.diagnostics import Comparison, GradientStats
from relaxppl.common.enumerated import MOST_STATES
from relaxppl.numpyro.elbo.engine import DiscreteELBO
from relaxppl.numpyro.elbo.parameters import PreparedGuide
from relaxppl.numpyro.enumerated import EnumeratedELBO, Inspected
from relaxppl.numpyro.gradients import GradientSampler

Params = dict[str, Any]


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

    :param elbo: a loss of this package or of the host.
    :param model: the model.
    :param guide: the guide, with at least one discrete latent site.
    :param params: the parameters, as ``SVI.get_params`` returns them; None for the initial ones.
    :param args: the arguments of model and guide.
    :param num_draws: how many gradients to draw, at least 2.
    :param rng_key: a PRNG key; None for that of seed 0.
    :param tune: for how many steps the ELBO first learns its own parameters, such as REBAR's
        temperature, if params does not have them.
    :param exact: whether to enumerate the discrete sites for the exact gradient, where they have
        few enough joint values. What else the guide draws is averaged over as many draws.
    :param kwargs: the keyword arguments of model and guide.
    :returns: arrays by parameter, in unconstrained coordinates.
    :raises ValueError: for a guide without discrete sites, params that do not fit, or num_draws
        below 2.
    """
    diagnostics.check_draws(num_draws)
    key = jax.random.key(0) if rng_key is None else rng_key
    sampler = GradientSampler(elbo, model, guide, params, args, kwargs, key)
    if not sampler.declared.discrete:
        raise diagnostics.no_discrete_site(guide)
    sampler.tune(tune)
    name = type(elbo).__name__
    stats = diagnostics.measure({name: sampler}, num_draws)[name]
    reference = None
    if exact:
        reference = exact_gradient(model, guide, sampler.declared.params, args, kwargs, num_draws)
    return diagnostics.with_exact(stats, reference)


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

    :param params: constrained values of the program's parameters.
    :param num_draws: of what else the guide draws.
    :param most_states: the most joint values to sum over.
    """
    if isinstance(guide, PreparedGuide):
        guide = guide.guide
    inspected = Inspected(model, guide, args, kwargs, params)
    if inspected.states > most_states:
        return None
    elbo = EnumeratedELBO(inspected)
    key = jax.random.key(1)
    sampler = GradientSampler(elbo, model, guide, params, args, kwargs, key)
    moments = sampler.draw(num_draws if inspected.random else 1)
    return diagnostics.summary("exact", moments, 0.0, inspected.states)


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

    They take turns, so that a busy machine slows them alike.

    :param estimators: ELBOs by name, or in a list; in place of one, (elbo, model, guide) for a
        program of its own with the same parameters, such as a relaxed one.
    :param model: the model.
    :param guide: the guide, with at least one discrete latent site.
    :param params: as of :func:`gradient_stats`.
    :param args: the arguments of model and guide.
    :param num_draws: how many gradients to draw of each, at least 2.
    :param seconds: a limit on the time of the draws, compilation left out; None for none.
    :param rng_key: a PRNG key; None for that of seed 0.
    :param tune: as of :func:`gradient_stats`.
    :param exact: as of :func:`gradient_stats`.
    :param kwargs: the keyword arguments of model and guide.
    :returns: a table to print, ``to_dataset()`` and ``plot()``; what cannot run is listed with the
        reason.
    :raises ValueError: as :func:`gradient_stats`.
    """
    diagnostics.check_draws(num_draws)
    key = jax.random.key(0) if rng_key is None else rng_key
    samplers: dict[str, GradientSampler] = {}
    failures: dict[str, str] = {}
    entries = diagnostics.named(estimators)
    for name, entry in entries.items():
        elbo, own_model, own_guide = entry if isinstance(entry, tuple) else (entry, model, guide)
        sampler = GradientSampler(elbo, own_model, own_guide, params, args, kwargs, key)
        if not isinstance(entry, tuple) and not sampler.declared.discrete:
            raise diagnostics.no_discrete_site(guide)
        try:
            sampler.tune(tune)
            sampler.draw(2)
        except (NotImplementedError, TypeError, ValueError) as error:
            failures[name] = str(error)
        else:
            samplers[name] = sampler
    stats = diagnostics.measure(samplers, num_draws, seconds) if samplers else {}
    if exact and samplers:
        values = next(iter(samplers.values())).declared.params
        reference = exact_gradient(model, guide, values, args, kwargs, num_draws)
        for s in stats.values():
            diagnostics.with_exact(s, reference)
    trusted = {n: trusts(entries[n]) for n in stats}
    return diagnostics.ranked(stats, trusted, failures)


def trusts(entry: Any) -> bool | None:
    """Returns whether a loss is unbiased at discrete sites by construction; None if unknown."""
    if isinstance(entry, tuple):
        return None
    # The host's other ELBOs leave the score function of discrete sites out.
    return isinstance(entry, (DiscreteELBO, TraceGraph_ELBO, TraceEnum_ELBO))


__all__ = ["Comparison", "GradientStats", "compare_estimators", "gradient_stats"]
