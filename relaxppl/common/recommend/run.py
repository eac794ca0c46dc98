"""The ways to fit a program are tried, measured and ranked."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from relaxppl.common.diagnostics import Comparison, check_draws, ranked
from relaxppl.common.recommend.enumeration import ENUMERATION, obstacle, worse_bound
from relaxppl.common.recommend.recommendation import (
    Option,
    Recommendation,
    other_aims,
    relaxation_option,
)
from relaxppl.common.recommend.screening import OUT_OF_TIME, Budget, Screened, refine, screen
from relaxppl.common.recommend.trials import trials
from relaxppl.estimators.elbo import EstimatorELBO

Entries = Mapping[str, tuple[Any, Any, Any]]
"""By name a loss, and the model and guide that go with it."""
Makers = Mapping[str, Callable[[], Any]]
"""By name what makes a sampler of a loss's gradients."""

_SLOWER = 10.0
"""How many times slower than the fastest estimator enumeration may be."""


@dataclass(frozen=True)
class Host:
    """What of a recommendation a host does in its own way.

    :param seen: what is read off the program: its discrete sites and what depends on what.
    :param enumerated: returns the host's loss that sums the sites out, and the model and guide that
        go with it; in place of these, why it cannot be tried.
    :param losses: the ELBOs by name.
    :param infer_config: the host's, that changes the sites' infer dicts.
    :param samplers: from entries to what makes their samplers; a second one takes longer to make
        them and they run faster, or is None.
    :param ready: the names of losses that run what an earlier one has compiled.
    """

    seen: Any
    enumerated: Callable[[], tuple[Any, Any, Any] | str]
    losses: Any
    infer_config: Callable[..., Any]
    samplers: Callable[[Entries], tuple[Makers, Makers | None]]
    ready: tuple[str, ...] = ()


def begun(seconds: float, num_draws: int) -> Budget:
    """Returns the time to spend, which runs from now on.

    :raises ValueError: for seconds that are not positive, or num_draws below 2.
    """
    check_draws(num_draws)
    return Budget(seconds, time.perf_counter)


def recommend(
    host: Host, model: Any, guide: Any, budget: Budget, num_draws: int, tune: int
) -> Recommendation:
    """Returns which loss to fit a program with: what applies, why, and how they measure up.

    Where the sites can be summed out of the model cheaply, that is tried with the host's
    ``TraceEnum_ELBO`` and comes first. The estimators that apply are ranked by variance times time.

    :param model: the model.
    :param guide: the guide, with at least one discrete latent site.
    :param args: the arguments of model and guide.
    :param seconds: the time to spend, compilation included; two losses are measured however long
        they take.
    :param num_draws: how many gradients to draw of each loss at most, at least 2.
    :param tune: for how many steps each ELBO first learns its own parameters, at most.
    :param kwargs: the keyword arguments of model and guide.
    :returns: to be printed; its ``loss``, ``model`` and ``guide`` are for SVI.
    :raises ValueError: for a guide without discrete sites, params that do not fit, num_draws below
        2 or seconds that are not positive.
    """
    seen = host.seen
    entries: dict[str, tuple[Any, Any, Any]] = {}
    reasons: dict[str, str] = {}
    exact: Any = obstacle(seen.variables, seen.model_latents, seen.dependent, seen.coupled)
    if exact is None:
        exact = host.enumerated()
    if isinstance(exact, str):
        reasons[ENUMERATION] = exact
    else:
        entries[ENUMERATION] = exact
    tried = trials(seen.variables, seen.coupled, seen.candidates)
    for name, trial in tried.items():
        loss = getattr(host.losses, trial.class_name)(**trial.options)
        reason = trial.obstacle(loss, seen.candidates)
        if reason is None:
            asking = host.infer_config(guide, trial.config) if trial.sites else guide
            entries[name] = (loss, model, asking)
        else:
            reasons[name] = reason
    makers, optimising = host.samplers(entries)
    screened = screen(makers, budget, tune, num_draws, host.ready, optimising)
    said = {name: trial.said for name, trial in tried.items()}
    return _concluded(entries, reasons, screened, budget, num_draws, seen, said)


def _concluded(
    entries: Entries,
    reasons: Mapping[str, str],
    screened: Screened,
    budget: Budget,
    num_draws: int,
    seen: Any,
    said: Mapping[str, str],
) -> Recommendation:
    """Spends the rest of the time on what may be the best, and ranks what was measured.

    :param reasons: by name why something is no entry.
    :param screened: what a few draws of the entries gave.
    :param said: by name what else is to be said of an entry.
    :raises RuntimeError: if nothing runs.
    """
    failures = screened.failures
    no = {**reasons, **{n: r for n, r in failures.items() if r != OUT_OF_TIME}}
    if no.get(ENUMERATION) and ENUMERATION not in reasons:
        no[ENUMERATION] = (
            "TraceEnum_ELBO fails on this model, which does not run with all values of a "
            "site at once along a dimension left of the plates (see the tutorial on enumeration)"
        )
    if not screened.draws:
        found = "; ".join(f"{n}: {r}" for n, r in no.items())
        raise RuntimeError(f"recommend: no loss could be measured on this program. {found}")
    screening = budget.spent
    refine(screened.draws, budget, num_draws)
    stats = {name: draws.stats() for name, draws in screened.draws.items()}
    exact = stats.get(ENUMERATION)
    if exact is not None and worse_bound(exact, stats.values()):
        no[ENUMERATION] = (
            "TraceEnum_ELBO gives a worse bound than the guide, which it cannot where the "
            "model is written for it (see the tutorial on enumeration)"
        )
        del stats[ENUMERATION]
    comparison = ranked(stats, dict.fromkeys(stats, True))
    order, reason = _order(comparison)
    options = []
    for name in [*order, *(n for n in entries if n not in order)]:
        if name in no:
            continue
        loss, model, guide = entries[name]
        if isinstance(loss, EstimatorELBO):
            guide = loss.prepare(guide)
        why = failures.get(name, "")
        if name in stats:
            why = f"measured below; its first gradient took {screened.setup[name]:.1f} s"
        why = said.get(name, "") + why
        options.append(Option(name, True, why, loss, model, guide, stats.get(name)))
    options += [relaxation_option(seen.variables), *other_aims(entries)]
    options += [Option(name, False, why) for name, why in no.items()]
    spent = _time(screened, budget, screening)
    return Recommendation(seen.variables, seen.upstream, options, comparison, spent, reason)


def _time(screened: Screened, budget: Budget, screening: float) -> str:
    setup = sum(screened.setup.values())
    lines = [
        f"{budget.spent:.1f} s of {budget.seconds:g} s were spent, {setup:.1f} s of them until "
        "the first gradients (on NumPyro, compiling)"
    ]
    if screening > budget.seconds:
        lines.append("more than was given: two losses are measured whatever time they take")
    if not screened.optimised:
        lines.append(
            "compiled without optimisation, to try more: the ms above compare with each other only"
        )
    return "; ".join(lines)


def _order(comparison: Comparison) -> tuple[list[str], str]:
    """Returns the names of what was measured, best first, and why the first is that."""
    estimators = [n for n in comparison.stats if n != ENUMERATION]
    exact = comparison.stats.get(ENUMERATION)
    if exact is not None:
        fastest = min((comparison.stats[n].seconds for n in estimators), default=math.inf)
        if exact.seconds <= _SLOWER * fastest:
            return [ENUMERATION, *estimators], (
                "it sums the discrete sites out of the model exactly: nothing of them is left to "
                "estimate, and the bound is tighter than that of any guide"
            )
        estimators.append(ENUMERATION)
    return estimators, "the least variance x time of the unbiased ones that were measured"
