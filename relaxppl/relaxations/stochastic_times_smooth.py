"""The stochastic-times-smooth unit.

h = c sqrt(p) with c ~ Bernoulli(sqrt(p)).
Bengio et al., 2013 (arXiv:1308.3432), section 5.
"""

from __future__ import annotations

import math
from typing import ClassVar

from relaxppl import ops
from relaxppl.ops import Array
from relaxppl.relaxations.base import Parameters
from relaxppl.relaxations.binary import PROBS_OR_LOGITS, Binary

_ULPS = 16.0


class StochasticTimesSmooth(Binary):
    """h = c sqrt(p) with c ~ Bernoulli(sqrt(p)), whose mean is p.

    Its law has two values: P(h = sqrt(p)) = sqrt(p) and P(h = 0) = 1 - sqrt(p). ``log_prob`` is
    the log mass; a value is taken for sqrt(p) if it differs from it by rounding only.

    The gradient of a sample, c d sqrt(p) / da, is *not* an unbiased gradient of an expectation: c
    depends on p too and carries none. For E[h] its mean is exactly half of dp / da.

    The hard value [h > 0] = c is 1 with probability sqrt(p), not p.

    :param probs: the probability p, in [0, 1], (*batch_shape); or
    :param logits: its log odds a, (*batch_shape).
    :raises ValueError: for a parameter outside its constraint, or both or neither of probs and
        logits.

    Bengio et al., 2013 (arXiv:1308.3432), section 5.
    """

    parameters: ClassVar[Parameters] = (PROBS_OR_LOGITS,)
    support = "unit_interval_with_atoms"
    noise = "uniform"
    discrete = True
    enumerable = True

    @property
    def _root(self) -> Array:
        # At the least float the root still has a gradient.
        return ops.sqrt(self.probs + ops.tiny(self.probs))

    def _tolerance(self, value: Array) -> float:
        return _ULPS * (self.rounding or ops.eps(value))

    def _log_masses(self) -> tuple[Array, Array]:
        """Returns log(1 - sqrt(p)) and log sqrt(p), neither by a difference from 1."""
        log_p, log_1mp = ops.log_sigmoid(self.logits), ops.log_sigmoid(-self.logits)
        return log_1mp - ops.log1p(self._root), 0.5 * log_p

    def sample(self, noise: Array) -> Array:
        root = self._root
        return ops.cast(noise < root, noise) * root

    def log_prob(self, value: Array) -> Array:
        zero, one = self._log_masses()
        root = self._root
        near = ops.abs(value - root) <= self._tolerance(value) * root
        return ops.where(value == 0.0, zero, ops.where(near, one, -math.inf))

    def cdf(self, value: Array) -> Array:
        mass = ops.exp(self._log_masses()[0])
        below = ops.where(value < 0.0, 0.0, mass)
        least = self._root * (1.0 - self._tolerance(value))
        return ops.where(value >= least, 1.0, below)

    def icdf(self, probability: Array) -> Array:
        root = self._root
        return ops.where(probability <= ops.exp(self._log_masses()[0]), 0.0, root)

    def mean(self) -> Array:
        return self.probs

    def variance(self) -> Array:
        zero, one = self._log_masses()
        return ops.exp(3.0 * one + zero)

    def entropy(self) -> Array:
        zero, one = self._log_masses()
        return -ops.exp(zero) * zero - ops.exp(one) * one

    def enumerate_support(self) -> Array:
        root = self._root
        return ops.stack([ops.zeros_like(root), root], axis=0)

    def harden(self, value: Array) -> Array:
        return ops.cast(value > 0.0, value)
