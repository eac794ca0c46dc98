"""What one run of both programs tells of all others."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from relaxppl.common.arviz.labels import Dims
from relaxppl.common.relax.watching import Watched
from relaxppl.common.shell import hardens

HARD = "_hard"
"""How the name of a site's hardened values ends."""


@dataclass(frozen=True)
class Prototype:
    """What there is to draw, and from which program.

    :param sites: where the variables of each site get their dimensions from.
    :param observed: the observed values, by site.
    :param relaxed: the latent sites that ``relax`` relaxed.
    :param written: the distributions of those that are written with a relaxed one.
    :param discrete: the names of those that the guide draws discrete.
    :param hardened: whether the programs run in their discrete form, on hardened values.
    :param reason: why the draws have no importance weights, or None if they have.
    """

    sites: Mapping[str, Dims]
    observed: Mapping[str, np.ndarray]
    relaxed: Mapping[str, Watched]
    written: Mapping[str, Any]
    discrete: list[str]
    hardened: bool
    reason: str | None

    @property
    def sources(self) -> dict[str, str]:
        """The sites that variables with another name come from."""
        hard = [name for name, site in self.relaxed.items() if site.hardens and not site.discrete]
        hard += [name for name, fn in self.written.items() if hardens(fn)]
        return {name + HARD: name for name in hard}

    @property
    def dims(self) -> dict[str, Dims]:
        """Where each variable gets its dimensions from."""
        return {**self.sites, **{n: self.sites[source] for n, source in self.sources.items()}}

    @property
    def variables(self) -> list[str]:
        """The names of all variables of sites.

        :raises ValueError: if a site is named as another's hardened values.
        """
        for name, source in self.sources.items():
            if name in self.sites:
                raise ValueError(
                    f"to_arviz: the hardened values of the site {source!r} are written as "
                    f"{name!r}, which is the name of another site; rename that one"
                )
        return [*self.sites, *self.sources]

    @property
    def notes(self) -> dict[str, str]:
        """Attributes that say what the log densities are of."""
        form = "discrete" if self.hardened else "as written, relaxed"
        made = {"program": form}
        return made if self.reason is None else made | {"no_log_weight": self.reason}


def inexact(relaxed: Mapping[str, Watched], hardened: bool, summed: list[str]) -> str | None:
    """Returns why draws of the discrete program have no weights, or None if they have.

    :param relaxed: the sites that ``relax`` relaxed, with concrete parameters.
    :param hardened: whether the program runs on hardened values.
    :param summed: the sites that are drawn given all others.
    """
    if summed:
        return (
            f"the guide leaves {', '.join(map(repr, summed))} to be summed out; drawn given all "
            "others, they have a log q that is not known"
        )
    for name, site in relaxed.items():
        if hardened and not site.has_discrete_law():
            return (
                f"the hardened draws of {site.name} at the site {name!r} do not have the law of "
                f"its {type(site.base).__name__}, so that their log q is not known"
            )
    return None


def check_params(
    declared: Mapping[str, Any], params: Mapping[str, Any], shape: Callable[[Any], Any], way: str
) -> None:
    """Checks that parameters are those of the programs.

    :param declared: initial values of the programs' parameters.
    :param params: the trained ones.
    :param shape: of a value.
    :param way: where trained parameters come from, for the message.
    :raises ValueError: naming a parameter that is missing or of another shape.
    """
    missing = [name for name in declared if name not in params]
    if missing:
        raise ValueError(
            f"to_arviz: the parameters do not fit: {', '.join(map(repr, missing))} of the model or "
            f"the guide is not among those given ({', '.join(map(repr, params)) or 'none'}); give "
            f"{way} of this model and this guide"
        )
    for name, value in declared.items():
        if shape(value) != shape(params[name]):
            raise ValueError(
                f"to_arviz: the parameter {name!r} has shape {shape(params[name])}, but the model "
                f"or the guide declares it with {shape(value)}; give {way} for the same arguments"
            )


def check_covered(guide: Iterable[str], model: Iterable[str]) -> None:
    """Checks that the guide draws every latent site of the model.

    :param guide: its latent sites.
    :param model: its latent sites.
    :raises ValueError: naming the sites that it does not.
    """
    guide = set(guide)
    left = [name for name in model if name not in guide]
    if left:
        raise ValueError(
            f"to_arviz: the guide has no site {', '.join(map(repr, left))}, which the model does "
            "not observe. Train a guide that has it; if it was summed out, mark it in the model by "
            "infer={'enumerate': 'parallel'}, and it is drawn given the others"
        )
