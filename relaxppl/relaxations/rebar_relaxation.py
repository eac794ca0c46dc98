"""The relaxation of REBAR: a binary Concrete variable with a rescaled logit.

x = s(((T^2 + T + 1) / (T + 1) * a + l) / T) with l standard logistic.
Tucker et al., 2017 (arXiv:1703.07370).
"""

from __future__ import annotations

from relaxppl import ops
from relaxppl.ops import Array
from relaxppl.relaxations.binary import smallest
from relaxppl.relaxations.relaxed_bernoulli import RelaxedBernoulli, inside


class RebarRelaxation(RelaxedBernoulli):
    """x = s(((T^2 + T + 1) / (T + 1) a + l) / T) with l standard logistic: a value on (0, 1).

    Its density is that of RelaxedBernoulli at the rescaled logit, which tends to s(a) and to the
    gradient of MuProp as T grows. It is a relaxation, not the estimator of the same name.

    The hard value is b = [a + l > 0], which is 1 with probability ``probs`` = s(a). Because of the
    rescaling this is not [x > 1/2]: ``harden`` recovers l from x.

    :param temperature: T, positive, (*batch_shape).
    :param probs: the probability s(a), in [0, 1], (*batch_shape); or
    :param logits: its log odds a, (*batch_shape).
    :raises ValueError: for a parameter outside its constraint, or both or neither of probs and
        logits.

    Tucker et al., 2017 (arXiv:1703.07370).
    """

    @property
    def location(self) -> Array:
        # (T^2 + T + 1) / (T + 1)
        return (self.temperature + 1.0 / (self.temperature + 1.0)) * self.logits

    @property
    def _shift(self) -> Array:
        """The location less a."""
        return self.temperature**2 / (self.temperature + 1.0) * self.logits

    def sample(self, noise: Array) -> Array:
        return inside(ops.sigmoid((self.location + noise) / self.temperature))

    def soft(self, latent: Array) -> Array:
        """Returns s((z + T^2 / (T + 1) a) / T), of the latent's shape."""
        return inside(ops.sigmoid((latent + self._shift) / self.temperature))

    def harden(self, value: Array) -> Array:
        within = inside(value)
        latent = self.temperature * (ops.log(within) - ops.log1p(-within)) - self._shift
        # A value that was rounded to an end has lost l; only the hard value of that end gets there.
        low, high = value <= smallest(value), value >= 1.0 - ops.eps(value)
        return ops.cast(((latent > 0) | high) & ~low, value)
