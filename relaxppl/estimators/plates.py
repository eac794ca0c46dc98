"""Plates that a dependence leaves on its way from a site to a term.

A term in the plate of a site has an element for each of the site's, and an element of the site is
charged with its own. That is right as long as nothing between them lies outside of the plate: a
variable outside that depends on one element hands it on to all elements of the term.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from relaxppl.estimators.jumps import Names
from relaxppl.estimators.site import Frames

Lost = Mapping[str, Mapping[str, Frames]]
"""By site, and by latent site that depends on it: the plates of the first without the second."""


def lost(
    sites: Collection[str], frames: Mapping[str, Frames], laws: Mapping[str, Collection[str]]
) -> Lost:
    """Returns the plates that are lost between sites; of most programs there are none.

    :param sites: the discrete sites.
    :param frames: the plates of every latent site.
    :param laws: what the law of every latent site depends on.
    """
    found = {
        name: {
            other: frames[name] - frames[other]
            for other, deps in laws.items()
            if other != name and name in deps and not frames[name] <= frames[other]
        }
        for name in sites
    }
    return {name: others for name, others in found.items() if others}


def left(between: Lost, deps: Names, known: Collection[str]) -> dict[str, Frames]:
    """Returns by site the plates that a term's dependence on it leaves.

    :param between: as :func:`lost` returns it.
    :param deps: what the term depends on.
    :param known: the latent sites of which ``deps`` knows; on others the term may depend.
    """
    found = {}
    for name in between.keys() & deps:
        each = [f for other, f in between[name].items() if other in deps or other not in known]
        if each:
            found[name] = frozenset().union(*each)
    return found
