"""Gumbel-Sinkhorn: a relaxed matching of n items with n places.

Mena et al., 2018 (arXiv:1802.08665): exp((X + G) / T) with G standard Gumbel, normalised by columns
and by rows in turn, as Sinkhorn does.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from relaxppl import ops
from relaxppl.ops import Array
from relaxppl.relaxations.base import Parameter, Relaxation
from relaxppl.relaxations.binary import smallest, straight_through
from relaxppl.relaxations.relaxed_bernoulli import TEMPERATURE


class GumbelSinkhorn(Relaxation):
    """A doubly stochastic matrix: exp((X + G) / T), its columns and rows normalised in turn.

    X holds the logits and G is standard Gumbel. The rows are normalised last: they sum to one, and
    the columns do so in the limit of many iterations, which a low temperature needs more of. With
    ``hard=True`` the value is the permutation matrix P that maximises <P, X + G>, by linear
    assignment on the CPU, and the gradient that of the relaxed one. Neither has a tractable law:
    ``log_prob`` is refused.

    :param temperature: T, positive, (*batch,).
    :param logits: X, the score of each item (row) at each place (column), (*batch, n, n).
    :param iterations: how often columns and rows are normalised, an int of at least 1.
    :param hard: whether the value is a permutation matrix.
    :raises ValueError: if the temperature is not positive, a logit is not finite, the matrix is not
        square, or iterations is not an int of at least 1.

    Mena et al., 2018 (arXiv:1802.08665), section 3.
    """

    parameters = (
        TEMPERATURE,
        Parameter("logits", "real_matrix", 2),
        Parameter("iterations", "", default=20, static=True),
        Parameter("hard", "", default=False, static=True),
    )
    event_rank = 2
    noise = "gumbel"

    @property
    def event_shape(self) -> tuple[int, ...]:
        size = ops.size(self.logits)
        return (size, size)

    @property
    def support(self) -> Any:  # type: ignore[override]
        return "one_hot_rows" if self.hard else "simplex_rows"

    @property
    def discrete(self) -> bool:  # type: ignore[override]
        return self.hard

    def check(self) -> None:
        shape = tuple(self.logits.shape)
        if shape[-1] != shape[-2]:
            raise ValueError(f"GumbelSinkhorn: logits must be (..., n, n), got shape {shape}")
        count = self.iterations
        integer = isinstance(count, (int, np.integer)) and not isinstance(count, bool)
        if not integer or count < 1:
            raise ValueError(
                f"GumbelSinkhorn: iterations must be an int of at least 1, got {count!r}"
            )

    def latent(self, noise: Array) -> Array:
        """Returns X + G, of the noise's shape."""
        return self.logits + noise

    def soft(self, latent: Array) -> Array:
        """Returns the matrix whose rows sum to one, and whose columns nearly do."""

        def step(scores: Array, _: Array) -> tuple[Array, Array]:
            return ops.log_softmax(ops.log_softmax(scores, axis=-2), axis=-1), _

        scores = latent / self.temperature[..., None, None]
        rounds = ops.like(scores, np.zeros(int(self.iterations)))
        return ops.softmax(ops.scan(step, scores, rounds)[0], axis=-1)

    def hard_of(self, latent: Array) -> Array:
        """Returns the permutation matrix of the largest sum of entries."""
        return ops.one_hot(ops.linear_assignment(latent), ops.size(latent), latent)

    def sample(self, noise: Array) -> Array:
        latent = self.latent(noise)
        soft = self.soft(latent)
        return straight_through(self.hard_of(latent), soft) if self.hard else soft

    def log_prob(self, value: Array) -> Array:
        raise NotImplementedError(
            "GumbelSinkhorn: a relaxed matching has no tractable density and a hard one no "
            "tractable mass, as no sum over all Gumbel matrices with that matching is known. Take "
            "PlackettLuce for a law of orderings, or fit it as a function of noise, without a "
            "log density"
        )

    def harden(self, value: Array) -> Array:
        # Normalising adds a number to each row and column of the logarithm, in which no best
        # matching changes.
        return self.hard_of(ops.log(ops.at_least(value, smallest(value))))
