"""SIMPLE: k of n forward, the gradient of the items' exact marginals backward."""

from __future__ import annotations

from typing import Any

from relaxppl import ops
from relaxppl.moments import conditional
from relaxppl.ops import Array
from relaxppl.relaxations.binary import straight_through
from relaxppl.relaxations.conditional_bernoulli import ConditionalBernoulli


class SubsetStraightThrough(ConditionalBernoulli):
    """The k-hot vector of ConditionalBernoulli forward, the gradient of its mean backward.

    The mean mu_i = d log E_k / d theta_i is the probability of item i to be among the k. Its values
    are exactly k-hot and its law is that of ConditionalBernoulli, p(S) = exp(sum_S theta) / E_k.
    The gradient of a sample has no noise of its own, and is exact for a cost that is linear.

    :param k: how many are chosen, an int from 1 to n.
    :param probs: the probability of each bit before the condition, in [0, 1], (*batch, n); or
    :param logits: their log odds theta, up to a constant, (*batch, n).
    :raises ValueError: if k is not an int from 1 to n, a parameter is outside its constraint, or
        not exactly one of probs and logits is given.

    Ahmed et al., 2023 (arXiv:2210.01941), section 3.
    """

    reparameterized = True

    @property
    def support(self) -> Any:  # type: ignore[override]
        return ("k_hot", int(self.k))

    def sample(self, noise: Array) -> Array:
        logits, k = self.logits, int(self.k)
        chance = conditional.chances(logits, k)
        hard = conditional.drawn(ops.stop_gradient(chance), noise)
        return straight_through(hard, conditional.inclusion_probs(logits, k, chance))
