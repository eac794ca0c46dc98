"""The answer: what applies to a program's discrete sites and why, the best first."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from relaxppl.common.diagnostics import Comparison, GradientStats
from relaxppl.common.enumerated import Variable


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


def relaxation_option(variables: Mapping[str, Variable]) -> Option:
    """Returns what ``relax`` can do for the program; it is biased, so it is not ranked."""
    without = [n for n, v in variables.items() if not v.relaxable]
    if not without:
        reason = (
            "relax(model, temperature=...) and relax(guide, temperature=...) with Trace_ELBO; "
            "biased, so not ranked here: compare_estimators shows by how much"
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
        text = "biased while its weight is below 1, with less variance on the way: not ranked here"
        found.append(Option("REBAR_ELBO(debias='auto')", True, text))
    return found
