"""The two functions that measure gradients, over what a host gives for a program."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from relaxppl.common.diagnostics.checks import check_draws, no_discrete_site
from relaxppl.common.diagnostics.comparison import Comparison, ranked
from relaxppl.common.diagnostics.measuring import Sampler, measure
from relaxppl.common.diagnostics.once import said_once
from relaxppl.common.diagnostics.stats import GradientStats


class Program(Protocol):
    """A model and a guide at given parameters and arguments."""

    def sampler(self, elbo: Any, model: Any, guide: Any) -> Sampler:
        """Returns what draws gradients of a loss of these two, or of others like them."""

    def exact(self, sampler: Sampler, num_draws: int) -> GradientStats | None:
        """Returns the gradient with the discrete sites enumerated, or None where that is too much.

        :param sampler: one of this program's.
        :param num_draws: of what else the guide draws, as far as time allows.
        """


@dataclass(frozen=True)
class Host:
    """What differs between the hosts.

    :param program: takes a model, a guide, parameters, the arguments of both and what the draws
        are made from; a context in which a program has these.
    :param unbiased: the classes of losses that are unbiased at discrete sites.
    """

    program: Callable[..., AbstractContextManager[Program]]
    unbiased: tuple[type, ...]


def gradient_stats(
    host: Host,
    elbo: Any,
    model: Callable[..., Any],
    guide: Callable[..., Any],
    params: Mapping[str, Any] | None,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    source: Any,
    num_draws: int,
    tune: int,
    exact: bool,
) -> GradientStats:
    """Returns the mean, variance, bias and cost of an ELBO's gradient at given parameters.

    :param host: the host.
    :param elbo: a loss of this package or of the host.
    :param model: the model.
    :param guide: the guide, with at least one discrete latent site.
    :param params: constrained values of the parameters by name; None for those that there are.
    :param args: the arguments of model and guide.
    :param kwargs: the keyword arguments of model and guide.
    :param source: what the draws are made from.
    :param num_draws: how many gradients to draw, at least 2.
    :param tune: for how many steps the ELBO first learns its own parameters, such as REBAR's
        temperature, where they are not given.
    :param exact: whether to enumerate the discrete sites for the exact gradient, where they have
        few enough joint values. What else the guide draws is averaged over.
    :returns: arrays by parameter, in unconstrained coordinates.
    :raises ValueError: for a guide without discrete sites, params that do not fit, or num_draws
        below 2.
    """
    check_draws(num_draws)
    with host.program(model, guide, params, args, kwargs, source) as program:
        sampler = program.sampler(elbo, model, guide)
        if not sampler.discrete:
            raise no_discrete_site(guide)
        sampler.tune(tune)
        name = type(elbo).__name__
        stats = measure({name: sampler}, num_draws)[name]
        return _with_exact(stats, program.exact(sampler, num_draws) if exact else None)


def compare_estimators(
    host: Host,
    estimators: Mapping[str, Any] | Sequence[Any],
    model: Callable[..., Any],
    guide: Callable[..., Any],
    params: Mapping[str, Any] | None,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    source: Any,
    num_draws: int,
    seconds: float | None,
    tune: int,
    exact: bool,
) -> Comparison:
    """Returns several ELBOs side by side, on one's own program, best at equal time first.

    They take turns, so that a busy machine slows them alike.

    :param host: the host.
    :param estimators: ELBOs by name, or in a list; in place of one, (elbo, model, guide) for a
        program of its own with the same parameters, such as a relaxed one.
    :param model: the model.
    :param guide: the guide, with at least one discrete latent site.
    :param params: as of :func:`gradient_stats`.
    :param args: the arguments of model and guide.
    :param kwargs: the keyword arguments of model and guide.
    :param source: what the draws are made from.
    :param num_draws: how many gradients to draw of each, at least 2.
    :param seconds: a limit on the time of the draws, compilation left out; None for none.
    :param tune: as of :func:`gradient_stats`.
    :param exact: as of :func:`gradient_stats`.
    :returns: a table to print, ``to_dataset()`` and ``plot()``; what cannot run is listed with the
        reason.
    :raises ValueError: as :func:`gradient_stats`.
    """
    check_draws(num_draws)
    entries = named(estimators)
    samplers: dict[str, Sampler] = {}
    failures: dict[str, str] = {}
    with said_once(), host.program(model, guide, params, args, kwargs, source) as program:
        for name, entry in entries.items():
            given = entry if isinstance(entry, tuple) else (entry, model, guide)
            sampler = program.sampler(*given)
            if not isinstance(entry, tuple) and not sampler.discrete:
                raise no_discrete_site(guide)
            try:
                sampler.tune(tune)
                sampler.draw(2)
            except (NotImplementedError, TypeError, ValueError) as error:
                failures[name] = str(error)
            else:
                samplers[name] = sampler
        stats = measure(samplers, num_draws, seconds) if samplers else {}
        if exact and samplers:
            reference = program.exact(next(iter(samplers.values())), num_draws)
            for one in stats.values():
                _with_exact(one, reference)
    return ranked(stats, {name: trusts(host, entries[name]) for name in stats}, failures)


def trusts(host: Host, entry: Any) -> bool | None:
    """Returns whether a loss is unbiased at discrete sites by construction; None if unknown."""
    return None if isinstance(entry, tuple) else isinstance(entry, host.unbiased)


def named(estimators: Mapping[str, Any] | Sequence[Any]) -> dict[str, Any]:
    """Returns losses by name, those of a list by their classes' names.

    :raises ValueError: if there are none.
    """
    if isinstance(estimators, Mapping):
        found = dict(estimators)
    else:
        found = {}
        for entry in estimators:
            name = type(entry[0] if isinstance(entry, tuple) else entry).__name__
            same = sum(other == name or other.startswith(f"{name} ") for other in found)
            found[f"{name} {same + 1}" if same else name] = entry
    if not found:
        raise ValueError("compare_estimators needs at least one ELBO, got none")
    return found


def _with_exact(stats: GradientStats, reference: GradientStats | None) -> GradientStats:
    """Sets the exact gradient of some statistics to the mean of a reference's."""
    if reference is not None:
        stats.exact = {key: reference.mean[key] for key in stats.mean}
        stats.exact_error = {
            key: np.sqrt(reference.variance[key] / reference.num_draws) for key in stats.mean
        }
    return stats
