"""Which losses are worth trying on a program, and which estimator each of its sites would have."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from relaxppl.common.enumerated import Variable
from relaxppl.estimators.base import Estimator
from relaxppl.estimators.choice import choose
from relaxppl.estimators.coupled import Coupled
from relaxppl.estimators.disarm import DisARM
from relaxppl.estimators.local_expectation import LocalExpectation
from relaxppl.estimators.rebar import REBAR
from relaxppl.estimators.score import ScoreFunction
from relaxppl.estimators.site import Candidate

SCORE, AVERAGE = "ScoreFunction_ELBO()", "ScoreFunction_ELBO(baseline='average')"

FEW = 16
"""How many further evaluations of the program a site may take for all of its values to be tried."""


@dataclass(frozen=True)
class Trial:
    """A loss to try.

    :param class_name: of the ELBO.
    :param options: its arguments.
    :param sites: the estimators of sites that do not have the ELBO's own.
    """

    class_name: str
    options: dict[str, Any] = field(default_factory=dict)
    sites: dict[str, str] = field(default_factory=dict)

    @property
    def said(self) -> str:
        """What of it the guide's infer dicts say, for the answer."""
        by_kind: dict[str, list[str]] = {}
        for name, kind in self.sites.items():
            by_kind.setdefault(kind, []).append(repr(name))
        each = [f"{{'estimator': {k!r}}} at {', '.join(n)}" for k, n in by_kind.items()]
        return f"its guide has infer={' and '.join(each)}; " if each else ""

    def config(self, site: Any) -> dict[str, Any]:
        """Returns what it adds to a site's infer dict, for the hosts' ``infer_config``."""
        name = site["name"]
        return {"estimator": self.sites[name]} if name in self.sites else {}

    def obstacle(self, loss: Any, candidates: Iterable[Candidate]) -> str | None:
        """Returns why the loss does not support the sites, or None.

        :param loss: the loss that it names.
        :param candidates: the guide's discrete sites.
        """
        asked = [c._replace(wanted=self.sites.get(c.name, c.wanted)) for c in candidates]
        try:
            choose(asked, loss.estimator, loss.num_particles)
        except (NotImplementedError, ValueError) as error:
            return str(error)
        return None


TRIALS: dict[str, Trial] = {
    "REBAR_ELBO()": Trial("REBAR_ELBO"),
    SCORE: Trial("ScoreFunction_ELBO"),
    AVERAGE: Trial("ScoreFunction_ELBO", {"baseline": "average"}),
    "DisARM_ELBO()": Trial("DisARM_ELBO"),
    "RLOO_ELBO(num_particles=4)": Trial("RLOO_ELBO", {"num_particles": 4}),
    "RELAX_ELBO()": Trial("RELAX_ELBO"),
    "ARMS_ELBO(num_particles=4)": Trial("ARMS_ELBO", {"num_particles": 4}),
}
"""What is tried on every program, in the order in which a short time is spent on them."""


def trials(
    variables: Mapping[str, Variable],
    coupled: Sequence[tuple[str, str]],
    candidates: Sequence[Candidate],
) -> dict[str, Trial]:
    """Returns the losses to try by name, in the order in which a short time is spent on them.

    :param variables: the guide's discrete sites.
    :param coupled: pairs of a discrete site and a site that sees more than one element of one of
        its plates.
    :param candidates: the guide's discrete sites, as the estimators' choice sees them.
    """
    own = per_site(variables, coupled, candidates)
    rest = [c for c in candidates if c.name not in own and c.wanted is None]
    base = _base(rest) if rest else _base_of_kinds(own)
    sites = {name: kind for name, kind in own.items() if rest or kind != ESTIMATORS_OF[base]}
    suffix = " per site" if sites else ""
    chosen = {f"{base}_ELBO(){suffix}": Trial(f"{base}_ELBO", {}, sites)} if own else {}
    forms = {
        f"{base}_ELBO(exact_kl={form!r}){suffix}": Trial(f"{base}_ELBO", {"exact_kl": form}, sites)
        for form in ((True, "learned") if rest and base != "ScoreFunction" else ())
    }
    head = dict(list(TRIALS.items())[:2])
    return {**head, **chosen, **TRIALS, **forms}


BASES: tuple[type[Estimator], ...] = (REBAR, DisARM, ScoreFunction)
"""The first of these that takes all sites without an estimator of their own is theirs."""
ESTIMATORS_OF = {"LocalExpectation": LocalExpectation.name, "Coupled": Coupled.name}


def _base(rest: Iterable[Candidate]) -> str:
    """Returns the estimator of the sites that have none of their own."""
    sites = list(rest)
    able = (kind for kind in BASES if all(kind().takes(candidate) for candidate in sites))
    return next(able).__name__


def _base_of_kinds(own: Mapping[str, str]) -> str:
    """Returns the estimator of most sites, where each has one of its own."""
    kinds = list(own.values())
    return max(ESTIMATORS_OF, key=lambda name: kinds.count(ESTIMATORS_OF[name]))


def per_site(
    variables: Mapping[str, Variable],
    coupled: Sequence[tuple[str, str]],
    candidates: Iterable[Candidate],
) -> dict[str, str]:
    """Returns by site the estimator that its law and its size call for, where they do.

    A category or a bit with few values to try is summed exactly; a count has the difference that
    one more makes. A site that asks for an estimator keeps it.
    """
    seen_together = {site for site, _ in coupled}
    found = {}
    for candidate in candidates:
        name, variable = candidate.name, variables[candidate.name]
        if candidate.wanted is not None:
            continue
        count = math.prod(variable.free(name not in seen_together))
        if LocalExpectation().takes(candidate) and variable.support is not None:
            if count * (len(variable.support) - 1) <= FEW:
                found[name] = LocalExpectation.name
        elif Coupled().takes(candidate) and count <= FEW:
            found[name] = Coupled.name
    return found
