"""Which estimator runs at which site, and the errors where one cannot."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from relaxppl.estimators.arms import ARMS
from relaxppl.estimators.base import Estimator
from relaxppl.estimators.coupled import Coupled
from relaxppl.estimators.disarm import DisARM
from relaxppl.estimators.local_expectation import LocalExpectation
from relaxppl.estimators.rebar import REBAR
from relaxppl.estimators.relax import RELAX
from relaxppl.estimators.reweighted_wake_sleep import ReweightedWakeSleep
from relaxppl.estimators.rloo import RLOO
from relaxppl.estimators.score import ScoreFunction
from relaxppl.estimators.site import Candidate
from relaxppl.estimators.vimco import VIMCO

ESTIMATORS: dict[str, type[Estimator]] = {
    estimator.name: estimator
    for estimator in (
        ScoreFunction,
        RLOO,
        DisARM,
        ARMS,
        LocalExpectation,
        Coupled,
        REBAR,
        RELAX,
        VIMCO,
        ReweightedWakeSleep,
    )
}
"""All estimators by name."""


def choose(
    sites: Iterable[Candidate], default: Estimator, num_particles: int
) -> dict[str, Estimator]:
    """Returns each site's estimator: what its infer dict says, else the default.

    One that is named has the options of the default, as far as they are options of both.

    :param sites: in the guide's order.
    :param default: the ELBO's.
    :param num_particles: of the ELBO.
    :raises ValueError: for an unknown estimator, or one that needs more particles.
    :raises NotImplementedError: where an estimator does not support a site's law; the message names
        the site and the estimators that do.
    """
    chosen = {}
    for site in sites:
        estimator = wanted(site, default)
        if estimator != default and (estimator.multi_sample or default.multi_sample):
            raise _another_bound(site, estimator, default)
        estimator.check(site, num_particles)
        if not estimator.takes(site):
            raise _unsupported(site, estimator)
        chosen[site.name] = estimator
    return chosen


def wanted(site: Candidate, default: Estimator) -> Estimator:
    """Returns the estimator that a site asks for, whether it serves the site or not."""
    asked = site.wanted
    if asked is None or isinstance(asked, Estimator):
        return default if asked is None else asked
    if asked not in ESTIMATORS:
        raise ValueError(
            f"site {site.name!r}: unknown estimator {asked!r} in its infer dict; "
            f"known: {', '.join(ESTIMATORS)}"
        )
    return ESTIMATORS[asked]().like(default)


def _unsupported(site: Candidate, estimator: Estimator) -> NotImplementedError:
    possible = [n for n, k in ESTIMATORS.items() if k().takes(site) and not k.multi_sample]
    laws = estimator.laws or ()
    reason = f"it takes {', '.join(law.__name__ for law in laws)}"
    if site.recurrent:
        reason = (
            "its own values decide its law (a site inside scan or a loop). Write it as a site for "
            "each step of a Python loop, as one MarkovChain of all steps, or with logits that no "
            "draw touches"
        )
    integer = site.has_integers
    hint = "; or make it a OneHotCategorical, whose value can be relaxed" if integer else ""
    ways_out = ", ".join(possible)
    return NotImplementedError(
        f"site {site.name!r} is a {site.class_name}, which the estimator {estimator.name!r} does "
        f"not support: {reason}. Choose one of {ways_out} by infer={{'estimator': ...}} in the "
        f"guide, or by the ELBO of that name where the guide is written for you{hint}"
    )


def _another_bound(site: Candidate, estimator: Estimator, default: Estimator) -> ValueError:
    several = estimator if estimator.multi_sample else default
    return ValueError(
        f"site {site.name!r}: its infer dict asks for {estimator!r} in an ELBO of {default!r}, but "
        f"the bound of {several.name!r} is one of all draws and sites together, so that no site "
        f"can choose apart. Take {type(several).__name__}_ELBO and no infer={{'estimator': ...}}, "
        "or an estimator of the same bound as the ELBO's"
    )


def unprepared(chosen: Mapping[str, Estimator], prepared: Iterable[str]) -> list[str]:
    """Returns the warnings where estimators could learn, but nothing prepared them.

    :param chosen: the estimator of each site.
    :param prepared: the sites at which they were prepared.
    """
    apart: dict[Estimator, list[str]] = {}
    for name, estimator in chosen.items():
        if name not in set(prepared):
            apart.setdefault(estimator, []).append(name)
    texts = (estimator.unprepared(names) for estimator, names in apart.items())
    return [text for text in texts if text is not None]
