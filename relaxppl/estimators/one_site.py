"""A cost as a program of one site, and what its estimator would learn as the caller gives it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import Any

from relaxppl import ops
from relaxppl.estimators import debias
from relaxppl.estimators.base import FREE, Arrays
from relaxppl.estimators.laws import Law
from relaxppl.estimators.program import SoftValue, Term
from relaxppl.estimators.site import Candidate, Frame, Names, Site
from relaxppl.ops import Array

SITE = "x"
Cost = Callable[[Array], Array]
Noise = Callable[[str, str, tuple[int, ...]], Array]
"""From a name, a law and a shape to standard noise."""


class OneSite:
    """A cost as a program of one site: see :class:`relaxppl.estimators.program.Program`.

    :param function: the cost.
    :param law: of the values.
    :param hard: the encoded values drawn.
    :param noise: gives further noise, where the estimator asks for any.
    """

    def __init__(self, function: Cost, law: Law, hard: Array, noise: Noise | None) -> None:
        self.function, self.given = function, noise
        value = law.decode(hard)
        self.cost = function(value)
        self.rank = len(law.logits.shape) - law.rank
        # What the costs tell apart is independent; the rest of the batch has one cost together.
        apart = range(-self.rank, len(self.cost.shape) - self.rank)
        frames = frozenset(Frame(str(d), d) for d in apart)
        none: Names = frozenset()
        scale = ops.like(law.logits, 1.0)
        self.sites = {
            SITE: Site(
                SITE, None, candidate(law), law, value, frames, self.rank, none, scale, None, scale
            )
        }
        self.terms = [Term("cost", self._aligned(self.cost), frames, frozenset({SITE}))]

    def _aligned(self, costs: Array) -> Array:
        return costs.reshape(tuple(costs.shape) + (1,) * (self.rank - len(costs.shape)))

    factors: Mapping[str, Array] = {}

    def log_ratio(self, name: str, encoded: Array) -> Array:
        raise NotImplementedError

    def downstream(self, names: Names) -> Names:
        return frozenset()

    def evaluate(
        self,
        at: Mapping[str, Array],
        soft_value: SoftValue | None = None,
        keep: Callable[[Term], bool] = lambda term: True,
    ) -> list[Term]:
        term = replace(self.terms[0], value=self._aligned(self.function(at[SITE])))
        return [term] if keep(term) else []

    def each(self, compute: Callable[[Arrays], Array], values: Arrays) -> Array:
        rows = range(values[SITE].shape[0])
        return ops.stack([compute({SITE: values[SITE][i]}) for i in rows], axis=0)

    def noise(self, kind: str, shape: tuple[int, ...], site: Site, use: int) -> Array:
        assert self.given is not None
        return self.given("free" if use == FREE else "conditional", kind, shape)

    def explained(self, level: tuple[str, ...]) -> AbstractContextManager[None]:
        return nullcontext()


class Given:
    """What an estimator would learn, as the caller gives it: as ``program.Learned``."""

    def __init__(self, temperature: float | Array = 0.5, eta: float = 1.0) -> None:
        self.temperature, self.eta = temperature, eta

    def read(self, name: str, initial: float, like: Array, positive: bool = False) -> Array:
        if name == debias.key(SITE):
            raise ValueError("a weight is learned in a program only; give debias as a number")
        return ops.like(like, 0.0) + (self.temperature if positive else self.eta)

    def constant(self, value: float, like: Array) -> Array:
        return ops.like(like, value)

    def network(self, prefix: str, features: int, hidden: int, like: Array) -> Arrays:
        raise ValueError("a network learns in a program only; give control_variate or baseline")

    def average(self, name: str, cost: Array, decay: float) -> Array:
        raise ValueError("an average goes on in a program only; give baseline")

    def steps(self) -> Any:
        raise ValueError("a schedule follows an optimiser's steps; give debias as a number")

    def learn(self, name: str, gradient: Array) -> None:
        pass

    def cond(self, wanted: Any, full: Callable[[], Any], cheap: Callable[[], Any]) -> Any:
        return full() if wanted else cheap()


def candidate(law: Law) -> Candidate:
    """Returns the site as the choice of an estimator sees it."""
    return Candidate(SITE, law.name, type(law), None)
