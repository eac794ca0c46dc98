"""How far down a control variate reaches, and which levels share one relaxed evaluation.

The control variate of a level is a function of the level's relaxed value and of all that is drawn
below it. Any such function has mean zero, so that it may leave out the terms which depend on sites
further down than ``depth`` levels. What is left of two levels that lie more than ``depth + 1``
apart never sees both, unless the upper one is held for the lower: both relaxed evaluations are then
one, and a chain takes ``depth + 2`` of them, whatever its length.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from relaxppl.estimators.base import Step
from relaxppl.estimators.laws import Draw
from relaxppl.estimators.program import Term, levels
from relaxppl.estimators.site import Names


@dataclass(frozen=True)
class Part:
    """A level in a relaxed evaluation, with what its control variate sees."""

    names: tuple[str, ...]
    """Sites that do not depend on each other."""
    below: Mapping[str, Draw]
    """The draws downstream that are relaxed with them."""
    blocked: Names
    """The sites downstream that keep their values, or are too far down: a term that depends on one
    would not be a function of the level's relaxed value and of independent noise."""

    def keeps(self, term: Term) -> bool:
        """Returns whether a term is in the control variate.

        What cannot be relaxed would move by jumps that no path derivative sees, and so does what
        depends on a comparison or leaves the backend.
        """
        return not (term.deps & self.blocked or term.jumps & {*self.names, *self.below})

    def of(self, terms: Sequence[Term]) -> list[Term]:
        """Returns the terms of an evaluation that are in the level's control variate."""
        return [term for term in terms if term.deps.intersection(self.names) and self.keeps(term)]


def evaluations(
    step: Step, names: Sequence[str], depths: Mapping[str, int | None]
) -> list[list[Part]]:
    """Returns the levels of some sites by relaxed evaluation.

    :param names: relaxable sites.
    :param depths: how many levels down the control variate of each reaches; None for all.
    """
    sites = step.program.sites
    if any(depth is None for depth in depths.values()):
        return [[_part(step, level, _deepest(level, depths))] for level in levels(sites, names)]
    wanted = set(names)
    period = 2 + max((depth for depth in depths.values() if depth is not None), default=0)
    shared: dict[int, list[Part]] = {}
    for number, whole in enumerate(levels(sites, sites)):
        level = tuple(name for name in whole if name in wanted)
        if level:
            part = _part(step, level, _deepest(level, depths))
            shared.setdefault(number % period, []).append(part)
    return list(shared.values())


def _deepest(level: tuple[str, ...], depths: Mapping[str, int | None]) -> int | None:
    found = [depth for depth in (depths[name] for name in level) if depth is not None]
    return max(found) if len(found) == len(level) else None


def _part(step: Step, level: tuple[str, ...], depth: int | None) -> Part:
    sites = step.program.sites
    below = step.program.downstream(frozenset(level)) & sites.keys()
    near = below
    if depth is not None:
        number = {n: k for k, names in enumerate(levels(sites, sites)) for n in names}
        last = max(number[name] for name in level) + depth
        near = frozenset(name for name in below if number[name] <= last)
    # A downstream draw must not first be made inside a transformation.
    drawn = {n: step.draw(n) for n in sites if n in near and _relaxable(step, n)}
    return Part(level, drawn, below - drawn.keys())


def _relaxable(step: Step, name: str) -> bool:
    law = step.site(name).law
    return law is not None and law.relaxable
