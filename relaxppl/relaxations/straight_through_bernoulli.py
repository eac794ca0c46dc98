"""The straight-through Bernoulli: b forward, the gradient of its probability backward.

Bengio et al., 2013 (arXiv:1308.3432), section 4; Cheng et al., 2019 (arXiv:1910.02176).
"""

from __future__ import annotations

from relaxppl import ops
from relaxppl.relaxations.base import Array
from relaxppl.relaxations.binary import PROBS_OR_LOGITS, BernoulliLaw, straight_through


class StraightThroughBernoulli(BernoulliLaw):
    """b = [a + l > 0] forward, p = s(a) backward."""

    parameters = (PROBS_OR_LOGITS,)
    noise = "logistic"

    def sample(self, noise: Array) -> Array:
        latent = self.logits + noise
        return straight_through(ops.cast(latent > 0, latent), self.probs)
