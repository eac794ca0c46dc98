"""Which estimator runs at which site, and the errors where one cannot."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from relaxppl.estimators.laws import Categorical
from relaxppl.numpyro.elbo.structure import Structure

ESTIMATORS = ("score", "rloo", "disarm", "rebar", "relax")
SUPPORTS = {
    "score": "every discrete site",
    "rloo": "every discrete site, with num_particles >= 2",
    "disarm": "Bernoulli, Categorical and OneHotCategorical",
    "rebar": "Bernoulli and OneHotCategorical",
    "relax": "Bernoulli, OneHotCategorical and, with a network alone, Categorical",
}


@dataclass(frozen=True)
class Plan:
    """The estimator of every discrete site.

    :param estimators: by site.
    :param soft: the sites whose cost is evaluated at relaxed values.
    :param antithetic: the sites whose cost is evaluated at antithetic values.
    :param networks: the sites with a control-variate network.
    """

    estimators: Mapping[str, str]
    soft: frozenset[str]
    antithetic: frozenset[str]
    networks: frozenset[str]

    def of(self, estimator: str) -> frozenset[str]:
        """Returns the sites that one estimator runs at."""
        return frozenset(n for n, e in self.estimators.items() if e == estimator)


def make_plan(structure: Structure, default: str, control_variate: str, num_particles: int) -> Plan:
    """Chooses each site's estimator and checks that it supports the site.

    :param default: the ELBO's own estimator.
    :param control_variate: that of relax: both, rebar or network.
    :raises ValueError: for an unknown estimator, or one that needs more particles.
    :raises NotImplementedError: where an estimator does not support a site's law; the message names
        the site and the estimators that do.
    """
    chosen = {n: structure.choices[n] or default for n in structure.discrete}
    for name, estimator in chosen.items():
        if estimator not in ESTIMATORS:
            raise ValueError(
                f"site {name!r}: unknown estimator {estimator!r} in its infer dict; "
                f"known: {', '.join(ESTIMATORS)}"
            )
        if estimator == "rloo" and num_particles < 2:
            raise ValueError(
                f"site {name!r}: rloo compares draws and needs num_particles >= 2, "
                f"got {num_particles}"
            )
        _check_law(structure, name, estimator, control_variate)
    integer = {n for n, (law, _) in structure.laws.items() if law is Categorical}
    relax = {n for n, e in chosen.items() if e == "relax"}
    with_cost = set() if control_variate == "network" else relax - integer
    with_network = set() if control_variate == "rebar" else relax
    return Plan(
        estimators=chosen,
        soft=frozenset({n for n, e in chosen.items() if e == "rebar"} | with_cost),
        antithetic=frozenset(n for n, e in chosen.items() if e == "disarm"),
        networks=frozenset(with_network),
    )


def _check_law(structure: Structure, name: str, estimator: str, control_variate: str) -> None:
    law, class_name = structure.laws[name]
    possible = ["score", "rloo"]
    if law is not None and name not in structure.guide_laws[name]:
        integer = law is Categorical
        possible += ["disarm", "relax"] if integer else ["disarm", "rebar", "relax"]
    if estimator in possible:
        if estimator == "relax" and law is Categorical and control_variate == "rebar":
            raise NotImplementedError(
                f"site {name!r}: {class_name} has integer values, so that relax can use a network "
                "only there: control_variate='network' or 'both', or a OneHotCategorical site"
            )
        return
    reason = f"{estimator} supports {SUPPORTS[estimator]}"
    if name in structure.guide_laws[name]:
        reason = "its own values decide its law (a site inside scan)"
    way_out = ", ".join(possible)
    hint = "; or make it a OneHotCategorical" if law is Categorical else ""
    raise NotImplementedError(
        f"site {name!r} is a {class_name}, which the estimator {estimator!r} does not support: "
        f"{reason}. Choose one of {way_out} by infer={{'estimator': ...}} in the guide{hint}"
    )
