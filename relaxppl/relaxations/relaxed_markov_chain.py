"""A relaxed path of a Markov chain: each state mixes the rows of the matrix by the last."""

from __future__ import annotations

from relaxppl import ops
from relaxppl.moments import chain
from relaxppl.ops import Array
from relaxppl.relaxations.binary import smallest
from relaxppl.relaxations.markov_chain import INITIAL, TRANSITION, Chain
from relaxppl.relaxations.relaxed_bernoulli import TEMPERATURE
from relaxppl.relaxations.relaxed_one_hot import log_density_of_log


class RelaxedMarkovChain(Chain):
    """A path x_1, ..., x_T on the simplex: x_{t+1} = softmax((log(x_t A_t) + g_{t+1}) / T).

    With x_1 = softmax((log pi + g_1) / T), pi = softmax(initial_logits), A_t the row-wise softmax
    of transition_logits[t] and g standard Gumbel. Given x_t the next state is a
    RelaxedOneHotCategorical of the probabilities x_t A_t, so that the path has a density, the
    product of theirs. As the temperature goes to zero the path becomes that of MarkovChain; above
    it the hardened path's law is close to the chain's and not the same, since a soft state mixes
    the rows of A_t.

    :param temperature: T, positive, (*batch,).
    :param initial_logits: (*batch, K).
    :param transition_logits: (*batch, T - 1, K, K), from the state of the row to that of the
        column, a matrix for each step.
    :raises ValueError: if the temperature is not positive, a logit is not finite, or the shapes do
        not fit.

    Maddison et al., 2017 (arXiv:1611.00712), equation 10, at each step.
    """

    parameters = (TEMPERATURE, INITIAL, TRANSITION)
    support = "simplex_rows"

    def rounded(self, value: Array) -> Array:
        return ops.at_least(value, smallest(value))

    def sample(self, noise: Array) -> Array:
        scores = chain.relaxed_path(self.log_first, self.log_moves, self.temperature, noise)
        value = ops.softmax(scores, axis=-1)
        return ops.at_least(value, smallest(value))

    def log_prob(self, value: Array) -> Array:
        log_x = ops.log(ops.clip(value, smallest(value), 1.0))
        ahead = ops.logsumexp(log_x[..., :-1, :, None] + self.log_moves, axis=-2)
        first = log_density_of_log(log_x[..., 0, :], self.log_first, self.temperature)
        others = log_density_of_log(log_x[..., 1:, :], ahead, self.temperature[..., None])
        return first + ops.sum(others, axis=-1) - ops.sum(log_x, axis=(-2, -1))
