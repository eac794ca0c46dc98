"""Which estimator runs at which site, and the errors where one cannot."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from relaxppl.estimators.laws import Bernoulli, Categorical, Law, OneHotCategorical
from relaxppl.pyro.elbo.laws import base_of
from relaxppl.pyro.elbo.structure import Site

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
    """What the constructors of the five classes set.

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


@dataclass(frozen=True)
class Plan:
    """The estimator of every discrete site.

    :param estimators: by site.
    :param soft: the sites whose control variate is the program at relaxed values.
    :param networks: the sites with a control-variate network.
    """

    estimators: dict[str, str]
    soft: list[str]
    networks: list[str]

    def of(self, estimator: str) -> list[str]:
        """Returns the sites that one estimator runs at."""
        return [name for name, chosen in self.estimators.items() if chosen == estimator]


def make_plan(sites: Iterable[Site], options: Options, num_particles: int) -> Plan:
    """Chooses each site's estimator and checks that it supports the site.

    :raises ValueError: for an unknown estimator, or one that needs more particles.
    :raises NotImplementedError: where an estimator does not support a site's law; the message names
        the site and the estimators that do.
    """
    plan = Plan({}, [], [])
    for site in sites:
        name = site.name
        estimator = site.infer.get("estimator") or options.estimator
        _check(site, estimator, options, num_particles)
        plan.estimators[name] = estimator
        relax, integer = estimator == "relax", type(site.law) is Categorical
        with_cost = relax and options.control_variate != "network" and not integer
        if estimator == "rebar" or with_cost:
            plan.soft.append(name)
        if relax and options.control_variate != "rebar":
            plan.networks.append(name)
    return plan


def _check(site: Site, estimator: str, options: Options, num_particles: int) -> None:
    name, class_name = site.name, type(base_of(site.fn)).__name__
    if estimator not in SUPPORT:
        raise ValueError(
            f"site {name!r}: unknown estimator {estimator!r} in its infer dict; "
            f"known: {', '.join(SUPPORT)}"
        )
    if estimator == "rloo" and num_particles < 2:
        raise ValueError(
            f"site {name!r}: rloo compares draws and needs num_particles >= 2, got {num_particles}"
        )
    integer = type(site.law) is Categorical
    if estimator == "relax" and integer and options.control_variate == "rebar":
        raise NotImplementedError(
            f"site {name!r}: {class_name} has integer values, so that relax can use a network only "
            "there: control_variate='network' or 'both', or a OneHotCategorical site"
        )
    able = [n for n, laws in SUPPORT.items() if laws is None or type(site.law) in laws]
    if estimator in able:
        return
    laws = SUPPORT[estimator] or ()
    hint = "; or make it a OneHotCategorical, whose value can be relaxed" if integer else ""
    raise NotImplementedError(
        f"site {name!r} is a {class_name}, which the estimator {estimator!r} does not support: it "
        f"takes {', '.join(law.__name__ for law in laws)}. Choose one of {', '.join(able)} by "
        f"infer={{'estimator': ...}} in the guide{hint}"
    )
