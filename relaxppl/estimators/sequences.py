"""Variables that are drawn in steps, each of a law that the steps before it decide.

A subset is drawn item by item, an ordering place by place, a path state by state. Given the steps
before it a step is a Bernoulli or a categorical variable, whose logits are a function of the law's
parameters. So d log q is a sum over steps of scores in those logits, and each term may have a
control variate of its own that sees the earlier steps.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from relaxppl import ops
from relaxppl.estimators.laws import Bernoulli, Categorical, Law, OneHotCategorical, total
from relaxppl.moments import conditional
from relaxppl.ops import Array
from relaxppl.ops.constants import NEVER

_CERTAIN = 40.0
"""The log odds of a step that has no choice: its score is zero to rounding."""


class Sequence:
    """A law of a variable that is drawn in T steps.

    :param parameters: those that a gradient is estimated in, (*batch, *own), with the whole batch.
    """

    name: ClassVar[str]
    rank: ClassVar[int]
    """The event rank of a value."""
    logits_rank: ClassVar[int]
    """How many rightmost dimensions of :meth:`logits` belong to one value."""
    steps_kind: ClassVar[type[Law]]
    """The law of a step given those before it."""

    def __init__(self, parameters: Array) -> None:
        self.parameters = parameters

    @classmethod
    def of(cls, relaxation: Any, batch: tuple[int, ...]) -> Sequence:
        """Returns the law of a relaxation's instance.

        :param relaxation: a law that names this class by its ``in_steps``.
        :param batch: what its parameters are broadcast to.
        """
        raise NotImplementedError

    def at(self, parameters: Array) -> Sequence:
        """Returns the same law at other parameters."""
        return type(self)(parameters)

    def logits(self, value: Array) -> Array:
        """Returns the logits of each step given those before it, (*batch, T) or (*batch, T, K)."""
        raise NotImplementedError

    def before(self, steps: int) -> np.ndarray:
        """Returns whether step s (column) is drawn before step t (row), (T, T)."""
        return np.tri(steps, k=-1)

    def law(self, value: Array) -> Law:
        """Returns the law of all steps, each given those before it at a value."""
        return self.steps_kind(self.logits(ops.stop_gradient(value)))

    def spread(self, value: Array, h: Array) -> Array:
        """Pulls a gradient in the steps' logits back to the parameters.

        :param h: of the shape of :meth:`logits`.
        """

        def logits(parameters: Array) -> Array:
            return self.at(parameters).logits(ops.stop_gradient(value))

        return ops.vjp(logits, ops.stop_gradient(self.parameters))[1](h)

    def score(self, value: Array) -> Array:
        """Returns d log q(value) / d parameters."""
        law = self.law(value).stopped()
        return self.spread(value, law.score(law.encode(value)))

    def drawn(self, noise: Array) -> Array:
        """Returns the value that noise makes, of the noise's shape.

        :param noise: of the law ``noise``, of a value's shape.
        """
        raise NotImplementedError

    noise: ClassVar[str] = "gumbel"


class Subsets(Sequence):
    """k of n items by their log odds, (*batch, n): the last item is the first step."""

    name = "subset"
    rank = logits_rank = 1
    steps_kind = Bernoulli
    noise = "uniform"

    def __init__(self, parameters: Array, k: int) -> None:
        super().__init__(parameters)
        self.k = k

    @classmethod
    def of(cls, relaxation: Any, batch: tuple[int, ...]) -> Subsets:
        logits = relaxation.logits
        return cls(ops.broadcast_to(logits, (*batch, logits.shape[-1])), int(relaxation.k))

    def at(self, parameters: Array) -> Subsets:
        return Subsets(parameters, self.k)

    def logits(self, value: Array) -> Array:
        bits = ops.cast(value, self.parameters)
        odds = ops.moveaxis(conditional.log_odds(self.parameters, self.k), 0, -2)
        # How many of this item and those before it in the row are in: what is left to choose.
        left = ops.cumsum(bits, axis=-1)
        counts = ops.like(bits, np.arange(self.k + 1))
        is_left = ops.cast(ops.abs(left[..., None] - counts) < 0.5, bits)
        here = ops.like(bits, np.arange(1, bits.shape[-1] + 1))
        none, all_of_them = left < 0.5, left > here - 0.5
        free = ops.where((none | all_of_them)[..., None], 0.0, is_left)
        found = ops.sum(ops.where(free > 0.5, odds, 0.0), axis=-1)
        return ops.where(none, -_CERTAIN, ops.where(all_of_them, _CERTAIN, found))

    def before(self, steps: int) -> np.ndarray:
        return np.tri(steps, k=-1).T

    def drawn(self, noise: Array) -> Array:
        chance = conditional.chances(ops.stop_gradient(self.parameters), self.k)
        return conditional.drawn(chance, noise)

    def mean(self) -> Array:
        """Returns the probability of each item to be among the k, (*batch, n)."""
        return conditional.inclusion_probs(self.parameters, self.k)


class Orderings(Sequence):
    """Orderings of n items by their logits, (*batch, n), the first place first."""

    name = "ordering"
    rank, logits_rank = 1, 2
    steps_kind = Categorical

    @classmethod
    def of(cls, relaxation: Any, batch: tuple[int, ...]) -> Orderings:
        logits = relaxation.logits
        return cls(ops.broadcast_to(logits, (*batch, logits.shape[-1])))

    def logits(self, value: Array) -> Array:
        size = ops.size(self.parameters)
        placed = ops.one_hot(ops.integers(value), size, self.parameters)
        taken = ops.cumsum(placed, axis=-2) - placed
        return ops.where(taken > 0.5, NEVER, self.parameters[..., None, :])


class Paths(Sequence):
    """Paths of a Markov chain by their log probabilities, (*batch, 1 + (T - 1) K, K).

    The first row is of the first state, the others are those of the T - 1 matrices of moves.
    """

    name = "path"
    rank = logits_rank = 2
    steps_kind = OneHotCategorical

    @classmethod
    def of(cls, relaxation: Any, batch: tuple[int, ...]) -> Paths:
        first, moves = relaxation.log_first, relaxation.log_moves
        steps, size = moves.shape[-3], moves.shape[-1]
        moves = ops.broadcast_to(moves, (*batch, *moves.shape[-3:]))
        moves = moves.reshape((*batch, steps * size, size))
        first = ops.broadcast_to(first, (*batch, size))[..., None, :]
        return cls(ops.concatenate([first, moves], axis=-2))

    @property
    def rows(self) -> tuple[Array, Array]:
        """The logits of the first state, (*batch, K), and of the moves, (*batch, T - 1, K, K)."""
        first, moves = self.parameters[..., 0, :], self.parameters[..., 1:, :]
        size = first.shape[-1]
        shape = (*moves.shape[:-2], moves.shape[-2] // size, size, size)
        return first, moves.reshape(shape)

    def logits(self, value: Array) -> Array:
        first, moves = self.rows
        value = ops.cast(value, first)
        others = ops.sum(value[..., :-1, :, None] * moves, axis=-2)
        return ops.concatenate([first[..., None, :], others], axis=-2)


SEQUENCES: dict[str, type[Sequence]] = {law.name: law for law in (Subsets, Orderings, Paths)}
"""From what a relaxation calls ``in_steps`` to the law."""


def weighted(function: Any, parameters: Array) -> Array:
    """Returns the gradient of a sum over the batch in the parameters."""
    return ops.value_and_grad(lambda x: (total(function(x)), None), parameters)[1]
