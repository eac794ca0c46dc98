"""A discrete site of a guide as the estimators see it: its law, its plates and its value."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from relaxppl import ops
from relaxppl.estimators.counts import Count
from relaxppl.estimators.laws import Categorical, Law
from relaxppl.estimators.sequences import Sequence as Steps
from relaxppl.ops import Array

Names = frozenset[str]


class Candidate(NamedTuple):
    """A discrete site of a guide, as far as the choice of its estimator goes."""

    name: str
    class_name: str
    """That of its distribution."""
    law: type[Law] | None
    """The law that the estimators know it by."""
    wanted: Any
    """The estimator that its infer dict asks for: its name, or an estimator, or None."""
    recurrent: bool = False
    """Whether its own values decide its law: then only the score function is right."""
    counts: type[Count] | None = None
    """The law of counts that the estimators know it by."""
    sequence: type[Steps] | None = None
    """The law in steps that the estimators know it by."""

    @property
    def has_integers(self) -> bool:
        """Whether its values are integers: a program that indexes takes no relaxed one."""
        return self.law is Categorical


class Frame(NamedTuple):
    """A plate as a site or a term lies in it."""

    name: str
    dim: int
    """Counted from the right of the batch, negative."""


Frames = frozenset[Frame]


@dataclass(frozen=True)
class Site:
    """A discrete site of the guide (one that is not reparameterised) as the first run drew it."""

    name: str
    fn: Any
    """The host's distribution."""
    candidate: Candidate
    """What decides its estimator."""
    law: Law | None
    """The law by its logits, which the guide's parameters make; None for a law with no logits."""
    value: Array
    frames: Frames
    batch_rank: int
    upstream: Names
    """The discrete sites that its parameters depend on."""
    scale: Array
    """What its costs are multiplied by, for its networks to be too."""
    side: Array | None
    """What its networks see beside its value, (*plates, features); of the steps of a scan too,
    (steps, *plates, features)."""
    log_prob: Callable[[], Array]
    """Computes log q of the value, neither masked nor scaled, (*batch_shape)."""
    count: Count | None = None
    """The law of a count by its parameters; None for any other."""
    sequence: Steps | None = None
    """The law of what is drawn in steps by its parameters; None for any other."""

    @property
    def parameters(self) -> Array:
        """What the site's local gradient is the gradient in: its logits, or a law's parameters.

        Those of a count come along one more axis on the left.
        """
        if self.law is not None:
            return self.law.logits
        known = self.count or self.sequence
        assert known is not None
        return known.parameters

    @property
    def class_rank(self) -> int:
        """How many rightmost dimensions of the logits belong to one variable."""
        if self.sequence is not None:
            return self.sequence.logits_rank
        return 0 if self.law is None else self.law.rank

    @property
    def variables(self) -> tuple[int, ...]:
        """The shape of the site's variables, (*batch, *event)."""
        if self.sequence is not None:
            return tuple(self.value.shape)[: len(self.value.shape) - self.sequence.rank]
        shape = self.value.shape if self.law is None else self.law.logits.shape
        return tuple(shape)[: len(shape) - self.class_rank]

    def aligned(self, costs: Array) -> Array:
        """Returns costs per element of the batch, shaped to broadcast against the logits."""
        extra = len(self.variables) + self.class_rank - self.batch_rank
        return costs.reshape(tuple(costs.shape) + (1,) * extra)

    def score_term(self) -> Array:
        """Returns a term over the batch whose gradient is that of log q of the value.

        A law that is known has its own: some hosts' log masses have other derivatives at their
        kinks.
        """
        if self.law is None:
            return self.log_prob()
        law = self.law.stopped()
        term = ops.stop_gradient(law.score(law.encode(self.value))) * self.law.logits
        events = tuple(range(self.batch_rank, len(term.shape)))
        return ops.sum(term, axis=events) if events else term

    @property
    def network_rank(self) -> int:
        """How many rightmost dimensions of the logits a network sees together.

        They are those right of the site's innermost plate.
        """
        assert self.law is not None
        dims = [frame.dim for frame in self.frames]
        outer = self.batch_rank + max(dims) + 1 if dims else 0
        return len(self.law.logits.shape) - outer

    @property
    def beside(self) -> Array | None:
        """What a network of the value sees beside it, for each group that it sees together."""
        if self.side is None or self.law is None:
            return self.side
        outer, shape = len(self.law.logits.shape) - self.network_rank, tuple(self.side.shape)
        if len(shape) <= outer + 1:
            return self.side
        return self.side.reshape((*shape[:outer], math.prod(shape[outer:])))

    @property
    def network_scale(self) -> Array:
        """What a network's outputs are multiplied by, one for each group that it sees together."""
        assert self.law is not None
        events = len(self.law.logits.shape) - self.batch_rank
        together = self.network_rank - events
        shape = tuple(self.scale.shape)
        if not shape or not together:
            return self.scale
        scale = self.scale.reshape((1,) * (self.batch_rank - len(shape)) + shape)
        sizes = scale.shape[len(scale.shape) - together :]
        return ops.sum(scale, axis=tuple(range(-together, 0))) / float(math.prod(sizes))

    @property
    def features(self) -> int:
        """How many numbers a network of the value and of the input beside it sees."""
        beside = 0 if self.beside is None else self.beside.shape[-1]
        if self.sequence is not None:
            # One step and those before it, and which one it is.
            shape = tuple(self.sequence.law(self.value).logits.shape)[-self.class_rank :]
            return math.prod(shape) + shape[0] + beside
        assert self.law is not None
        shape = tuple(self.law.logits.shape)
        seen = math.prod(shape[len(shape) - self.network_rank :])
        return seen + beside
