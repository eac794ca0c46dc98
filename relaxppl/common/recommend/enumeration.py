"""When the host can sum the sites out of the model, and whether it did."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from relaxppl.common.diagnostics import GradientStats
from relaxppl.common.enumerated import Variable, states

ENUMERATION = "TraceEnum_ELBO"

MOST_CHEAP = 256
"""The most joint values for which enumeration is tried."""


def obstacle(
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
