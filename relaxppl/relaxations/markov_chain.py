"""A Markov chain as one variable: its path, exactly."""

from __future__ import annotations

from itertools import product

import numpy as np

from relaxppl import ops
from relaxppl.moments import chain
from relaxppl.ops import Array
from relaxppl.ops.constants import NEVER
from relaxppl.relaxations.base import Parameter, Relaxation
from relaxppl.relaxations.cached import cached_property

_MOST_VALUES = 10_000
INITIAL = Parameter("initial_logits", "real_vector", 1)
TRANSITION = Parameter("transition_logits", "real_matrices", 3)


class Chain(Relaxation):
    """What the chain and its relaxation share: parameters, shapes and the normalised law."""

    event_rank = 2
    noise = "gumbel"

    @property
    def size(self) -> int:
        """The number K of states."""
        return ops.size(self.initial_logits)

    @property
    def event_shape(self) -> tuple[int, ...]:
        steps = 1 + ops.size(ops.moveaxis(self.transition_logits, -3, -1))
        return (steps, self.size)

    def check(self) -> None:
        shape = tuple(self.transition_logits.shape)
        if shape[-2:] != (self.size, self.size):
            raise ValueError(
                f"{type(self).__name__}: transition_logits must be (..., T - 1, K, K) with "
                f"K = {self.size}, the last dimension of initial_logits; got shape {shape}"
            )

    @property
    def _chains(self) -> tuple[int, ...]:
        """The batch shape that the first state's law and the moves' have together."""
        moves = tuple(self.transition_logits.shape[:-3])
        return self.broadcast_shapes(tuple(self.initial_logits.shape[:-1]), moves)

    @cached_property
    def log_first(self) -> Array:
        """The log probability of each first state, (*batch, K)."""
        log_p = ops.log_softmax(self.initial_logits, axis=-1)
        return ops.broadcast_to(log_p, (*self._chains, self.size))

    @cached_property
    def log_moves(self) -> Array:
        """The log probability of each move at each step, (*batch, T - 1, K, K)."""
        log_p = ops.log_softmax(self.transition_logits, axis=-1)
        return ops.broadcast_to(log_p, self._chains + tuple(log_p.shape[-3:]))

    def harden(self, value: Array) -> Array:
        return ops.one_hot(ops.argmax(value, axis=-1), self.size, value)


class MarkovChain(Chain):
    """A path z_1, ..., z_T of one-hot rows: log p(z) = log pi_{z_1} + sum_t log A_t[z_t, z_{t+1}].

    With pi = softmax(initial_logits), and A_t the row-wise softmax of transition_logits[t]. The
    mean is the marginals of the steps, and entropy and divergence follow from those of neighbours:
    all exact, in O(T K^2). The path is one discrete variable, whose samples carry no gradient.

    :param initial_logits: (*batch, K).
    :param transition_logits: (*batch, T - 1, K, K), from the state of the row to that of the
        column, a matrix for each step.
    :raises ValueError: if a logit is not finite, or the shapes do not fit.

    Rabiner, 1989, A tutorial on hidden Markov models, Proceedings of the IEEE 77.
    """

    parameters = (INITIAL, TRANSITION)
    support = "discrete_one_hot_rows"
    discrete = True
    reparameterized = False
    in_steps = "path"
    further = ("pair_marginals", "mode", "log_evidence")

    @property
    def enumerable(self) -> bool:  # type: ignore[override]
        steps, size = self.event_shape
        return size**steps <= _MOST_VALUES

    def sample(self, noise: Array) -> Array:
        return ops.stop_gradient(chain.path(self.log_first, self.log_moves, noise))

    def log_prob(self, value: Array) -> Array:
        first = ops.sum(value[..., 0, :] * self.log_first, axis=-1)
        picked = ops.sum(value[..., :-1, :, None] * self.log_moves, axis=-2)
        return first + ops.sum(picked * value[..., 1:, :], axis=(-2, -1))

    def mean(self) -> Array:
        return self._marginals

    @cached_property
    def _marginals(self) -> Array:
        return chain.marginals(self.log_first, self.log_moves)

    @property
    def pair_marginals(self) -> Array:
        """The probability of each two neighbouring states, (*batch, T - 1, K, K)."""
        return self._marginals[..., :-1, :, None] * ops.exp(self.log_moves)

    @property
    def mode(self) -> Array:
        """The most probable path, (*batch, T, K)."""
        return chain.most_probable(self.log_first, self.log_moves)

    def variance(self) -> Array:
        return self._marginals * (1.0 - self._marginals)

    def entropy(self) -> Array:
        return -self.expected(self.log_first, self.log_moves)

    def expected(self, first: Array, moves: Array) -> Array:
        """Returns the mean of a sum over the path of a cost of its start and of each of its moves.

        :param first: of each first state, (..., K).
        :param moves: of each move, (..., T - 1, K, K).
        :returns: (...).
        """
        of_first = ops.sum(self._marginals[..., 0, :] * first, axis=-1)
        return of_first + ops.sum(self.pair_marginals * moves, axis=(-3, -2, -1))

    def posterior(self, log_likelihood: Array) -> tuple[Array, Array]:
        """Returns the log probabilities of the chain's first state and of its moves given evidence.

        :param log_likelihood: log p(x_t | z_t = k), (..., T, K).
        :returns: (..., K) and (..., T - 1, K, K).
        """
        seen, log_first, log_moves = self._against(log_likelihood)
        ahead = seen + chain.messages(log_moves, seen)
        first = log_first + ahead[..., 0, :]
        return (
            ops.log_softmax(first, axis=-1),
            ops.log_softmax(log_moves + ahead[..., 1:, None, :], axis=-1),
        )

    def log_evidence(self, log_likelihood: Array) -> Array:
        """Returns log p(x), the sum over all paths.

        :param log_likelihood: log p(x_t | z_t = k), (..., *batch, T, K).
        :returns: (..., *batch).
        """
        seen, log_first, log_moves = self._against(log_likelihood)
        ahead = seen + chain.messages(log_moves, seen)
        return ops.logsumexp(log_first + ahead[..., 0, :], axis=-1)

    def _against(self, log_likelihood: Array) -> tuple[Array, Array, Array]:
        """Returns the evidence, without infinities, and the law, of one batch shape."""
        steps, size = self.event_shape
        if tuple(log_likelihood.shape[-2:]) != (steps, size):
            raise ValueError(
                f"MarkovChain: log_likelihood must be (..., T, K) = (..., {steps}, {size}), "
                f"got shape {tuple(log_likelihood.shape)}"
            )
        shape = self.broadcast_shapes(self.batch_shape, tuple(log_likelihood.shape[:-2]))
        seen = ops.broadcast_to(log_likelihood, (*shape, steps, size))
        return (
            ops.clip(seen, NEVER),
            ops.broadcast_to(self.log_first, (*shape, size)),
            ops.broadcast_to(self.log_moves, (*shape, steps - 1, size, size)),
        )

    def enumerate_support(self) -> Array:
        if not self.enumerable:
            raise NotImplementedError(
                f"MarkovChain: it enumerates at most {_MOST_VALUES} paths, K^T of them"
            )
        steps, size = self.event_shape
        return ops.like(self.log_first, np.eye(size)[list(product(range(size), repeat=steps))])
