"""What a site of a trace is: the messages of the two hosts share these keys."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from relaxppl.common import relax as common
from relaxppl.common.arviz.prototype import HARD
from relaxppl.common.relax.host import Host, holds_flags
from relaxppl.common.relax.watching import Watched
from relaxppl.common.shell import Shell, hardens, is_exact, is_of_weights

Site = dict[str, Any]


def is_auxiliary(site: Site) -> bool:
    """Returns whether a site of type "sample" is a factor or the like, and no variable."""
    return bool(site["infer"].get("is_auxiliary"))


def is_latent(site: Site) -> bool:
    """Returns whether a site is drawn."""
    return site["type"] == "sample" and not site["is_observed"]


def is_discrete(host: Host, site: Site) -> bool:
    """Returns whether a site's values are discrete."""
    fn = site["fn"]
    return common.is_discrete(fn) or is_exact(common.unwrap(host, fn)[0])


def written_relaxed(host: Host, site: Site, relaxed: Mapping[str, Watched]) -> Any:
    """Returns the relaxed distribution that a site is written with, or None.

    :param host: the host.
    :param site: a message of type "sample".
    :param relaxed: the sites that ``relax`` relaxed.
    """
    fn, _ = common.unwrap(host, site["fn"])
    ours = isinstance(fn, Shell) and site["name"] not in relaxed
    return fn if ours and not is_exact(fn) and not is_discrete(host, site) else None


def value_of(host: Host, site: Site, value: Any, whole: Callable[[Any, bool], Any]) -> Any:
    """Returns a site's value, of a discrete site as integers.

    :param host: the host.
    :param site: a message of type "sample".
    :param value: its value, as an array.
    :param whole: from whole numbers, and whether they are zeros and ones, to integers.
    """
    fn = site["fn"]
    if is_discrete(host, site) and (holds_flags(host, fn) or common.is_discrete(fn)):
        return whole(value, holds_flags(host, fn))
    return value


def latents(guide: Mapping[str, Site], relaxed: Mapping[str, Watched], hardened: bool) -> dict:
    """Returns the values at which the model runs, by latent site.

    :param guide: the guide's trace.
    :param relaxed: the sites that ``relax`` relaxed.
    :param hardened: whether these are hardened.
    """
    return {
        name: relaxed[name].hard(site["value"]) if hardened and name in relaxed else site["value"]
        for name, site in guide.items()
        if is_latent(site)
    }


def posterior(
    host: Host,
    guide: Mapping[str, Site],
    relaxed: Mapping[str, Watched],
    array: Callable[[Any], Any],
    whole: Callable[[Any, bool], Any],
) -> dict[str, Any]:
    """Returns the values of the guide's sites as sampled and, where they are relaxed, hardened.

    :param host: the host.
    :param guide: the guide's trace.
    :param relaxed: the sites that ``relax`` relaxed.
    :param array: from a site's value to an array.
    :param whole: as in :func:`value_of`.
    """
    made = {}
    for name, site in guide.items():
        if not is_latent(site) or is_auxiliary(site):
            continue
        made[name] = value_of(host, site, array(site["value"]), whole)
        if name in relaxed and not relaxed[name].discrete:
            made[name] = array(relaxed[name].soft(site["value"]))
            if relaxed[name].hardens:
                hard = array(relaxed[name].hard(site["value"]))
                made[name + HARD] = whole(hard, not relaxed[name].of_weights)
            continue
        fn = written_relaxed(host, site, relaxed)
        if hardens(fn):
            hard = array(fn.harden(site["value"]))
            made[name + HARD] = whole(hard, True) if not is_of_weights(fn) else hard
    return made
