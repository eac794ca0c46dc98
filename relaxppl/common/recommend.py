"""What applies to a program's discrete sites and why, and the ranked answer, for both hosts."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from relaxppl.common.diagnostics import Comparison, GradientStats, ranked
from relaxppl.common.enumerated import Variable, states
from relaxppl.common.screening import OUT_OF_TIME, Budget, Screened, refine
from relaxppl.estimators.elbo import EstimatorELBO

ENUMERATION = "TraceEnum_ELBO"

MOST_CHEAP = 256
"""The most joint values for which enumeration is tried."""

_SLOWER = 10.0
"""How many times slower than the fastest estimator enumeration may be."""


@dataclass
class Option:
    """A way to fit the program.

    :param name: as it is written.
    :param applies: whether it can be used.
    :param reason: why, or why not.
    :param loss: for SVI; None where it does not apply.
    :param model: the model to hand to SVI with it.
    :param guide: the guide to hand to SVI with it.
    :param stats: what was measured.
    """

    name: str
    applies: bool
    reason: str
    loss: Any = None
    model: Any = None
    guide: Any = None
    stats: GradientStats | None = None


@dataclass
class Recommendation:
    """What to fit a program with, best first: print it, or hand loss, model and guide to SVI.

    :param variables: the guide's discrete sites.
    :param upstream: by site, the discrete sites that its parameters depend on in the guide.
    :param options: what was looked at, the best first and what does not apply last.
    :param comparison: what was measured.
    :param time: what the time was spent on.
    """

    variables: Mapping[str, Variable]
    upstream: Mapping[str, Iterable[str]]
    options: list[Option]
    comparison: Comparison
    time: str
    _reason: str = field(default="", repr=False)

    @property
    def best(self) -> Option:
        """The recommended way."""
        return self.options[0]

    @property
    def ranking(self) -> list[str]:
        """The names of what was measured and may be ranked, best first."""
        return [o.name for o in self.options if o.stats is not None]

    @property
    def loss(self) -> Any:
        """The recommended loss, for SVI."""
        return self.best.loss

    @property
    def model(self) -> Any:
        """The model to hand to SVI with the recommended loss."""
        return self.best.model

    @property
    def guide(self) -> Any:
        """The guide to hand to SVI with the recommended loss."""
        return self.best.guide

    def __str__(self) -> str:
        lines = ["discrete sites of the guide:"]
        lines += [f"  {describe(n, v, self.upstream[n])}" for n, v in self.variables.items()]
        lines.append("what applies:")
        lines += [f"  {'yes' if o.applies else 'no '}  {o.name}: {o.reason}" for o in self.options]
        lines += ["measured at these parameters:"]
        lines += [f"  {line}" for line in str(self.comparison).splitlines()]
        lines.append(f"time: {self.time}")
        lines.append(f"take {self.best.name}: {self._reason}")
        return "\n".join(lines)


def describe(name: str, variable: Variable, upstream: Iterable[str]) -> str:
    """Returns a line about a discrete site."""
    kinds = {
        "binary": "binary",
        "one-hot": "one-hot category",
        "integer": "integer category, which a model can index with",
        "count": "count",
        "other": "discrete",
    }
    size = "no known end of values"
    if variable.support is not None:
        size = f"{len(variable.support)} values"
    elsewhere = [f"plate {p}" for p in variable.plates] + ["event"] * bool(variable.event_dim)
    line = f"{name!r} ({variable.class_name}): {kinds[variable.kind]}, {size}"
    if variable.draws > 1:
        line += f", {variable.draws} draws" + (f" in {' and '.join(elsewhere)}" * bool(elsewhere))
    above = sorted(upstream)
    if above:
        line += f"; its parameters depend on {', '.join(map(repr, above))}"
    return line


def enumeration_obstacle(
    variables: Mapping[str, Variable],
    in_model: Iterable[str],
    dependent: Sequence[str],
    coupled: Sequence[tuple[str, str]],
) -> str | None:
    """Returns why the host cannot enumerate the sites in the model cheaply, or None.

    :param variables: the guide's discrete sites.
    :param in_model: the names of the model's latent sites.
    :param dependent: the guide's other sites that are drawn given discrete values.
    :param coupled: pairs of a discrete site and a site that sees more than one element of one of
        its plates.
    """
    present = set(in_model)
    for name, variable in variables.items():
        if name not in present:
            return f"{name!r} is a site of the guide only"
        if variable.support is None:
            return f"{name!r} ({variable.class_name}) has no end of values to sum over"
        if math.prod(variable.free(True)) > 1:
            way = "its to_event" if variable.event_dim else "its batch dimension"
            return (
                f"{name!r} has {math.prod(variable.free(True))} draws that no plate declares "
                f"independent, {_power(variable)} joint values; if they are, put a plate in place "
                f"of {way}"
            )
    if dependent:
        sites = ", ".join(map(repr, dependent))
        return f"{sites} of the guide is drawn given discrete values, so those are needed there"
    if coupled:
        site, term = coupled[0]
        return f"{term!r} sees several elements of the plates of {site!r} at once"
    total = states(variables, by_plate=True)
    if total > MOST_CHEAP:
        return f"{total:.3g} joint values are more than {MOST_CHEAP}"
    return None


def _power(variable: Variable) -> str:
    size = 0 if variable.support is None else len(variable.support)
    return f"{size}^{math.prod(variable.free(True))}"


def relaxation_option(variables: Mapping[str, Variable]) -> Option:
    """Returns what ``relax`` can do for the program; it is biased, so it is not ranked."""
    without = [n for n, v in variables.items() if not v.relaxable]
    if not without:
        reason = (
            "relax(model, temperature=...) and relax(guide, temperature=...) with the host's "
            "Trace_ELBO; biased, so not ranked here: compare_estimators shows by how much"
        )
        return Option("relax", True, reason)
    name = without[0]
    variable = variables[name]
    reason = f"{name!r} is a {variable.class_name}, for which no relaxation is registered"
    if variable.kind == "integer":
        reason = (
            f"{name!r} is a {variable.class_name}, and a relaxed value cannot be an index; a "
            "OneHotCategorical can be relaxed"
        )
    return Option("relax", False, reason)


def other_aims(entries: Iterable[str]) -> list[Option]:
    """Returns what minimises something else, so that its variance compares with nothing here."""
    found = [
        Option(
            "VIMCO_ELBO(num_particles=K)",
            True,
            "the bound of K draws together, tighter than the ELBO: another loss, not ranked here",
        )
    ]
    if "REBAR_ELBO()" in entries:
        text = "biased until its schedule ends, with less variance on the way: not ranked here"
        found.append(Option("REBAR_ELBO(debias=schedule)", True, text))
    return found


def conclude(
    entries: Mapping[str, tuple[Any, Any, Any]],
    reasons: Mapping[str, str],
    screened: Screened,
    budget: Budget,
    num_draws: int,
    variables: Mapping[str, Variable],
    upstream: Mapping[str, Iterable[str]],
    said: Mapping[str, str],
) -> Recommendation:
    """Spends the rest of the time on what may be the best, and ranks what was measured.

    :param entries: by name a loss and the model and guide that go with it.
    :param reasons: by name why something is no entry.
    :param screened: what a few draws of the entries gave.
    :param budget: the time.
    :param num_draws: how many gradients to draw of each at most.
    :param variables: the guide's discrete sites.
    :param upstream: by site, the discrete sites that its parameters depend on.
    :param said: by name what else is to be said of an entry.
    :raises RuntimeError: if nothing runs.
    """
    failures = screened.failures
    no = {**reasons, **{n: r for n, r in failures.items() if r != OUT_OF_TIME}}
    if no.get(ENUMERATION) and ENUMERATION not in reasons:
        no[ENUMERATION] = (
            "the host's enumeration fails on this model, which does not run with all values of a "
            "site at once along a dimension left of the plates (see the host's tutorial on it)"
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
            "the host's enumeration gives a worse bound than the guide, which it cannot where the "
            "model is written for it (see the host's tutorial on enumeration)"
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
    options += [relaxation_option(variables), *other_aims(entries)]
    options += [Option(name, False, why) for name, why in no.items()]
    time = _time(screened, budget, screening)
    return Recommendation(variables, upstream, options, comparison, time, reason)


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


def worse_bound(exact: GradientStats, others: Iterable[GradientStats]) -> bool:
    """Returns whether enumeration gives a worse bound than a guide, which a right one never does.

    A model that sums over a plate, say, runs when it is enumerated, and means something else.
    """
    for other in others:
        error = exact.loss_variance / exact.num_draws + other.loss_variance / other.num_draws
        slack = 6.0 * math.sqrt(error) + 1e-4 * (1.0 + abs(other.loss))
        if exact.loss > other.loss + slack:
            return True
    return False
