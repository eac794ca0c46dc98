"""ReinMax: the discrete value forward, a gradient of second order backward.

Liu et al., 2023 (arXiv:2304.08612), algorithm 2: with D the one-hot value, p = softmax(l) and
q = (softmax(l / T) + D) / 2 the gradient is 2 J(q)^T g - J(p)^T g / 2, J the softmax's Jacobian.
"""

from __future__ import annotations

from dataclasses import replace

from relaxppl import ops
from relaxppl.ops import Array
from relaxppl.relaxations.binary import PROBS_OR_LOGITS as BINARY
from relaxppl.relaxations.binary import BernoulliLaw, zero_with_gradient
from relaxppl.relaxations.categorical import PROBS_OR_LOGITS, OneHotLaw
from relaxppl.relaxations.relaxed_bernoulli import TEMPERATURE

_TEMPERATURE = replace(TEMPERATURE, default=1.0)


class ReinMaxOneHotCategorical(OneHotLaw):
    """The one-hot class D forward, 2 J(q)^T g - J(p)^T g / 2 backward for a gradient g in D.

    Here p = softmax(l), q = (softmax(l / T) + D) / 2 and J(p)^T g = p (g - <p, g>). Its values are
    exactly one-hot and its law is that of OneHotCategorical(p), whatever the temperature. At T = 1
    the gradient has no bias for a cost that is quadratic in D. It does not reach T.

    :param temperature: T of the gradient, positive, (*batch_shape); 1 unless given.
    :param probs: the probabilities p, on the simplex, (*batch_shape, K); or
    :param logits: log p up to a constant, (*batch_shape, K).
    :raises ValueError: for a parameter outside its constraint, or both or neither of probs and
        logits.

    Liu et al., 2023 (arXiv:2304.08612), algorithm 2.
    """

    parameters = (_TEMPERATURE, PROBS_OR_LOGITS)
    noise = "gumbel"

    def sample(self, noise: Array) -> Array:
        return self.moving(ops.stop_gradient(self.harden(self.logits + noise)))

    def moving(self, hard: Array) -> Array:
        """Returns a hard value as it is, with the derivative in the logits."""
        probs = ops.stop_gradient(self.probs)
        tempered = ops.stop_gradient(self.logits) / self.temperature[..., None]
        doubled = ops.softmax(tempered, axis=-1) + hard
        moved = zero_with_gradient(self.logits)
        # 2 J(q) - J(p) / 2 applied to a vector, q half of ``doubled``.
        along_both = 0.5 * ops.sum(doubled * moved, axis=-1, keepdims=True)
        along_probs = 0.5 * ops.sum(probs * moved, axis=-1, keepdims=True)
        diagonal = doubled - 0.5 * probs
        return hard + (diagonal * moved - doubled * along_both + probs * along_probs)


class ReinMaxBernoulli(BernoulliLaw):
    """The bit b forward, the slope 2 q (1 - q) - p (1 - p) / 2 in its log odds backward.

    Here p = s(a) and q = (s(a / T) + b) / 2: the case of two classes. Its values are exactly 0 and
    1 and its law is that of Bernoulli(p), whatever the temperature. At T = 1 the gradient has no
    bias for a cost that is quadratic in a vector of such bits. It does not reach T.

    :param temperature: T of the gradient, positive, (*batch_shape); 1 unless given.
    :param probs: the probability p, in [0, 1], (*batch_shape); or
    :param logits: its log odds a, (*batch_shape).
    :raises ValueError: for a parameter outside its constraint, or both or neither of probs and
        logits.

    Liu et al., 2023 (arXiv:2304.08612), algorithm 2 with two classes.
    """

    parameters = (_TEMPERATURE, BINARY)
    noise = "uniform"

    def sample(self, noise: Array) -> Array:
        probs = ops.stop_gradient(self.probs)
        return self.moving(ops.cast(noise < probs, probs))

    def moving(self, hard: Array) -> Array:
        """Returns a hard value as it is, with the derivative in the logits."""
        probs = ops.stop_gradient(self.probs)
        tempered = ops.sigmoid(ops.stop_gradient(self.logits) / self.temperature)
        doubled = tempered + hard
        slope = 0.5 * (doubled * (2.0 - doubled) - probs * (1.0 - probs))
        return hard + slope * zero_with_gradient(self.logits)
