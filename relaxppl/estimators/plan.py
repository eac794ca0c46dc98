"""Which estimator runs at which site, and the errors where one cannot."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from relaxppl.estimators.laws import Bernoulli, Categorical, Law, OneHotCategorical

SUPPORT: dict[str, tuple[type[Law], ...] | None] = {
    "score": None,
    "rloo": None,
    "disarm": (Bernoulli, OneHotCategorical, Categorical),
    "rebar": (Bernoulli, OneHotCategorical),
    "relax": (Bernoulli, OneHotCategorical, Categorical),
}
"""By estimator the laws that it can be used with; None for all."""


@dataclass(frozen=True)
class Options:
    """What the constructors of the ELBOs set.

    :raises ValueError: naming the argument, what was given and what is allowed.
    """

    estimator: str
    exact_kl: bool = False
    temperature: float = 0.5
    eta: float = 1.0
    learn: bool | None = None
    coupled: bool = True
    variance_every: int = 1
    control_variate: str = "both"
    baseline: str | None = None
    decay: float = 0.9
    hidden: int = 16

    def __post_init__(self) -> None:
        checks = {
            "temperature": (self.temperature > 0, "positive"),
            "variance_every": (self.variance_every >= 1, "a positive integer"),
            "control_variate": (
                self.control_variate in ("both", "rebar", "network"),
                "'both', 'rebar' or 'network'",
            ),
            "baseline": (
                self.baseline in (None, "average", "network"),
                "None, 'average' or 'network'",
            ),
            "decay": (0 <= self.decay < 1, "in [0, 1)"),
        }
        for argument, (right, allowed) in checks.items():
            if not right:
                given = getattr(self, argument)
                raise ValueError(f"{argument} must be {allowed}, got {given!r}")


class Candidate(NamedTuple):
    """A discrete site of a guide, as far as the choice of its estimator goes."""

    name: str
    class_name: str
    """That of its distribution."""
    law: type[Law] | None
    """The law that the estimators know it by."""
    wanted: str | None
    """The estimator that its infer dict asks for."""
    recurrent: bool = False
    """Whether its own values decide its law: then only the score function is right."""


@dataclass(frozen=True)
class Plan:
    """The estimator of every discrete site; all in the guide's order.

    :param estimators: by site.
    :param soft: the sites whose control variate is the program at relaxed values.
    :param networks: the sites with a control-variate network.
    """

    estimators: Mapping[str, str]
    soft: tuple[str, ...]
    networks: tuple[str, ...]

    def of(self, estimator: str) -> tuple[str, ...]:
        """Returns the sites that one estimator runs at."""
        return tuple(name for name, chosen in self.estimators.items() if chosen == estimator)


def make_plan(sites: Iterable[Candidate], options: Options, num_particles: int) -> Plan:
    """Chooses each site's estimator and checks that it supports the site.

    :raises ValueError: for an unknown estimator, or one that needs more particles.
    :raises NotImplementedError: where an estimator does not support a site's law; the message names
        the site and the estimators that do.
    """
    estimators: dict[str, str] = {}
    soft, networks = [], []
    for site in sites:
        estimator = site.wanted or options.estimator
        _check(site, estimator, options, num_particles)
        estimators[site.name] = estimator
        relax, integer = estimator == "relax", site.law is Categorical
        with_cost = relax and options.control_variate != "network" and not integer
        if estimator == "rebar" or with_cost:
            soft.append(site.name)
        if relax and options.control_variate != "rebar":
            networks.append(site.name)
    return Plan(estimators, tuple(soft), tuple(networks))


def check_not_enumerated(sites: Iterable[str], who: str) -> None:
    """Refuses sites of the model alone that are marked to be summed out.

    :param sites: the names of those sites.
    :param who: the loss or the function that would draw them.
    :raises NotImplementedError: if there are any, naming them.
    """
    names = ", ".join(map(repr, sorted(sites)))
    if names:
        raise NotImplementedError(
            f"{names}: infer={{'enumerate': ...}} asks to sum this out, the guide has no such "
            f"site, and {who} sums nothing out: it would draw from the prior. Take the host's "
            "TraceEnum_ELBO, which sums; or give the guide a site of this name; or drop the mark, "
            "if a draw from the prior is what you want"
        )


def unprepared(plan: Plan, options: Options) -> str:
    """Returns the warning where temperatures and factors could learn, but nothing prepared them."""
    fixed = ""
    if options.estimator in ("rebar", "relax"):
        fixed = ", or pass learn=False to keep them and this message away"
    return (
        f"the temperature and the factor of the control variate at {', '.join(plan.soft)} stay at "
        f"{options.temperature:g} and {options.eta:g}, since the guide was not prepared: hand "
        f"elbo.prepare(guide) to SVI in place of guide to have them learned{fixed}"
    )


def _check(site: Candidate, estimator: str, options: Options, num_particles: int) -> None:
    name, class_name = site.name, site.class_name
    if estimator not in SUPPORT:
        raise ValueError(
            f"site {name!r}: unknown estimator {estimator!r} in its infer dict; "
            f"known: {', '.join(SUPPORT)}"
        )
    if estimator == "rloo" and num_particles < 2:
        raise ValueError(
            f"site {name!r}: rloo compares draws and needs num_particles >= 2, got {num_particles}"
        )
    integer = site.law is Categorical
    if estimator == "relax" and integer and options.control_variate == "rebar":
        raise NotImplementedError(
            f"site {name!r}: {class_name} has integer values, so that relax can use a network only "
            "there: control_variate='network' or 'both', or a OneHotCategorical site"
        )
    possible = [
        chosen
        for chosen, laws in SUPPORT.items()
        if laws is None or (site.law in laws and not site.recurrent)
    ]
    if estimator in possible:
        return
    laws = SUPPORT[estimator] or ()
    reason = f"it takes {', '.join(law.__name__ for law in laws)}"
    if site.recurrent:
        reason = "its own values decide its law (a site inside scan)"
    hint = "; or make it a OneHotCategorical, whose value can be relaxed" if integer else ""
    ways_out = ", ".join(possible)
    raise NotImplementedError(
        f"site {name!r} is a {class_name}, which the estimator {estimator!r} does not support: "
        f"{reason}. Choose one of {ways_out} by infer={{'estimator': ...}} in the guide{hint}"
    )
