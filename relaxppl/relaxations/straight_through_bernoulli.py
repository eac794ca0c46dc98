"""The straight-through Bernoulli: b forward, the gradient of its probability backward.

Bengio et al., 2013 (arXiv:1308.3432), section 4; Cheng et al., 2019 (arXiv:1910.02176).
"""

from __future__ import annotations

from relaxppl import ops
from relaxppl.ops import Array
from relaxppl.relaxations.binary import PROBS_OR_LOGITS, BernoulliLaw, straight_through


class StraightThroughBernoulli(BernoulliLaw):
    """b = [u < p] forward with u uniform on (0, 1), p = s(a) backward.

    Its values are exactly 0 and 1, its law is that of Bernoulli(p), and the gradient of a sample is
    that of p itself.

    :param probs: the probability p, in [0, 1], (*batch_shape); or
    :param logits: its log odds a, (*batch_shape).
    :raises ValueError: for a parameter outside its constraint, or both or neither of probs and
        logits.

    Bengio et al., 2013 (arXiv:1308.3432), section 4; Cheng et al., 2019 (arXiv:1910.02176).
    """

    parameters = (PROBS_OR_LOGITS,)
    noise = "uniform"

    def sample(self, noise: Array) -> Array:
        probs = self.probs
        return straight_through(ops.cast(noise < probs, probs), probs)
