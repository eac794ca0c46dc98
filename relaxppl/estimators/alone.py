"""What a site costs at other values of its variables, each changed alone.

The elements of a plate that everything downstream of a site lies in do not see each other: they
change in one evaluation. Every other variable of the site takes evaluations of its own.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from relaxppl import ops
from relaxppl.estimators.base import Step
from relaxppl.estimators.program import Term, depending
from relaxppl.estimators.site import Frames, Site
from relaxppl.estimators.ways_out import AT_FEW_VALUES, AT_THE_DRAW, IN_STEPS
from relaxppl.ops import Array


def changes(step: Step, name: str, others: Array, limit: int) -> Array:
    """Returns by how much a site's costs change with each of its variables.

    :param others: for each variable other values, as floats of the shape of the site's value, along
        a new first axis: (C, *value_shape).
    :param limit: how many evaluations of the program are reasonable.
    :returns: (C, *variables), where those of a category have one more axis of length one.
    :raises ValueError: naming the site and the number of evaluations, if there are more.
    """
    site = step.site(name)
    shape, like = site.variables, site.parameters
    kept = _apart(site, depending(step.program.terms, name))
    which = _numbers(shape, {frame.dim - len(shape) + site.batch_rank for frame in kept})
    count = int(which.max(initial=-1)) + 1
    candidates = others.shape[0]
    _check(site, count, candidates, limit)
    ones = (1,) * site.class_rank
    marks = ops.like(like, which == np.arange(count).reshape((-1,) + (1,) * len(shape)))
    value = ops.cast(ops.stop_gradient(site.value), like)
    ends = (1,) * (len(value.shape) - len(shape))
    at_mark = marks.reshape((1, count, *shape, *ends))
    moved = value + at_mark * (others[:, None] - value)
    moved = moved.reshape((candidates * count, *value.shape))

    def cost(values: dict[str, Array]) -> Array:
        terms = step.program.evaluate(values)
        _check_frames(name, kept, terms)
        return step.cost(terms, name)

    costs = step.program.each(cost, {name: ops.cast(moved, site.value)})
    reward = step.reward(name)
    rank = len(shape) + len(ones)
    inner = tuple(costs.shape[1:])
    costs = costs.reshape((candidates, count, *(1,) * (rank - len(inner)), *inner))
    changed = ops.where(marks.reshape((1, count, *shape, *ones)) > 0.0, costs - reward, 0.0)
    return ops.sum(changed, axis=1)


def _apart(site: Site, terms: Sequence[Term]) -> Frames:
    """Returns the plates of a site whose elements all that is downstream of it keeps apart."""
    kept = site.frames
    for term in terms:
        kept = kept & term.frames
    return kept


def _numbers(shape: tuple[int, ...], together: set[int]) -> np.ndarray:
    """Returns which evaluation each variable changes in, of the variables' shape.

    :param together: the negative dimensions along which all change in one.
    """
    sizes = [1 if d - len(shape) in together else n for d, n in enumerate(shape)]
    return np.broadcast_to(np.arange(math.prod(sizes)).reshape(sizes), shape)


def _check(site: Site, count: int, candidates: int, limit: int) -> None:
    if count * candidates <= limit:
        return
    way_out = AT_FEW_VALUES if site.sequence is None else IN_STEPS
    raise ValueError(
        f"site {site.name!r}: {count} variables that no plate keeps apart, with {candidates} other "
        f"value{'s' * (candidates != 1)} each, take {count * candidates:,} evaluations of the "
        f"program in a step, more than max_evaluations={limit:,}. Put a plate in place of "
        "to_event or of a batch dimension where the variables are independent given the rest; or "
        f"choose {way_out} for this site in the guide; or "
        "raise max_evaluations"
    )


def _check_frames(name: str, kept: Frames, terms: Sequence[Term]) -> None:
    for term in terms:
        if not kept <= term.frames:
            plates = ", ".join(sorted(frame.name for frame in kept - term.frames))
            raise NotImplementedError(
                f"site {name!r}: at another value of it the program reaches {term.name!r}, which "
                f"it did not reach at the value drawn and which lies outside the plate {plates}: "
                "what each variable changes alone is not known. Choose "
                f"{AT_THE_DRAW} for this site in the guide"
            )
