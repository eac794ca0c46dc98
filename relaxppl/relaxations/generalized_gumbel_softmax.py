"""A discrete number, relaxed as the weighted mean of its values under Gumbel-softmax weights.

Joo et al., 2020 (arXiv:2003.01847): w = softmax((l + g) / T), x = sum_k w_k c_k.
"""

from __future__ import annotations

import math
from typing import Any

from relaxppl import ops
from relaxppl.ops import Array
from relaxppl.ops.constants import NEVER
from relaxppl.relaxations.base import Parameter
from relaxppl.relaxations.binary import straight_through
from relaxppl.relaxations.categorical import PROBS_OR_LOGITS, OneHot
from relaxppl.relaxations.relaxed_bernoulli import TEMPERATURE
from relaxppl.relaxations.relaxed_one_hot import RelaxedOneHotCategorical


class GeneralizedGumbelSoftmax(OneHot):
    """x = sum_k w_k c_k of relaxed one-hot weights w on the values c_1, ..., c_n.

    The number x has no tractable density when it is soft, and ``log_prob`` says so: the weights
    have. Let ``weights`` be the distribution of the site and ``value_of`` make the number of them.
    With ``hard=True`` the number is one of the values, exactly, and the gradient that of the soft
    one; its law is P(x = c) = sum of p_k over c_k = c. ``entropy`` and ``enumerate_support`` take
    the values to differ.

    :param values: c, (*batch, n).
    :param temperature: T, positive, (*batch,).
    :param probs: the probabilities of the n values, (*batch, n); or
    :param logits: their logarithms up to a constant, (*batch, n).
    :param hard: whether the number is one of the values.
    :raises ValueError: if values and probs or logits differ in their last dimension, the
        temperature is not positive, or not exactly one of probs and logits is given.

    Joo et al., 2020 (arXiv:2003.01847).
    """

    parameters = (
        Parameter("values", "real_vector", 1),
        TEMPERATURE,
        PROBS_OR_LOGITS,
        Parameter("hard", "", default=False, static=True),
    )
    noise = "gumbel"
    event_rank = 0
    of_weights = True
    further = ("value_of", "values_probs")

    @property
    def event_shape(self) -> tuple[int, ...]:
        return ()

    @property
    def noise_shape(self) -> tuple[int, ...]:
        return (self.size,)

    @property
    def support(self) -> Any:  # type: ignore[override]
        if self.hard:
            return ("among_values", self.values)
        return ("interval", ops.min(self.values, axis=-1), ops.max(self.values, axis=-1))

    @property
    def discrete(self) -> bool:  # type: ignore[override]
        return self.hard

    @property
    def enumerable(self) -> bool:  # type: ignore[override]
        return self.hard

    def check(self) -> None:
        if ops.size(self.values) != self.size:
            raise ValueError(
                f"GeneralizedGumbelSoftmax: values and probs or logits need one last dimension n, "
                f"got {ops.size(self.values)} values and {self.size} classes"
            )

    @property
    def values_probs(self) -> Array:
        """The normalised probability of each value, (*batch, n)."""
        return ops.exp(self.log_probs)

    def value_of(self, weights: Array) -> Array:
        """Returns the number that weights make, sum_k w_k c_k.

        :param weights: on the simplex, (..., *batch, n).
        :returns: (..., *batch).
        """
        total = ops.sum(weights * self.values, axis=-1)
        # The weights sum to one only up to rounding. The gradient is left alone.
        least, most = ops.min(self.values, axis=-1), ops.max(self.values, axis=-1)
        inside = ops.minimum(ops.maximum(total, least), most)
        return straight_through(inside, total)

    def soft_weights(self, noise: Array) -> Array:
        """Returns the weights of standard Gumbel noise, (..., *batch, n)."""
        return ops.softmax((self.log_probs + noise) / self.temperature[..., None], axis=-1)

    def sample(self, noise: Array) -> Array:
        soft = self.value_of(self.soft_weights(noise))
        if not self.hard:
            return soft
        latent = ops.broadcast_arrays(self.log_probs + noise, self.values)[0]
        index = ops.argmax(latent, axis=-1)
        return straight_through(self._pick(index), soft)

    def _pick(self, index: Array) -> Array:
        """Returns the values at indices (...), exactly."""
        chosen = ops.one_hot(index, self.size, self.values) > 0.5
        return ops.sum(ops.where(chosen, self.values, 0.0), axis=-1)

    def log_prob(self, value: Array) -> Array:
        self._need_discrete(
            "the soft number has no tractable density. Let the weights be the site, "
            "w = sample(name, d.weights), and the number d.value_of(w); or give hard=True, whose "
            "number has the exact mass of the truncated law"
        )
        same = value[..., None] == self.values
        total = ops.logsumexp(ops.where(same, self.log_probs, NEVER), axis=-1)
        return ops.where(total < 0.1 * NEVER, -math.inf, total)

    def mean(self) -> Array:
        if self.hard:
            return ops.sum(self.values_probs * self.values, axis=-1)
        weights = RelaxedOneHotCategorical(temperature=self.temperature, logits=self.log_probs)
        return ops.sum(weights.mean() * self.values, axis=-1)

    def variance(self) -> Array:
        self._need_discrete(
            "the soft number's variance needs the covariances of its weights, which have no closed "
            "form; give hard=True"
        )
        mean = ops.sum(self.values_probs * self.values, axis=-1, keepdims=True)
        return ops.sum(self.values_probs * (self.values - mean) ** 2, axis=-1)

    def entropy(self) -> Array:
        """Returns the entropy of the hard number, whose values must differ."""
        self._need_discrete(
            "the soft number has no tractable density, so no entropy; give hard=True"
        )
        return -ops.sum(self.values_probs * self.log_probs, axis=-1)

    def cdf(self, value: Array) -> Array:
        self._need_discrete("the soft number has no tractable cdf; give hard=True")
        below = ops.cast(self.values <= value[..., None], self.log_probs)
        return ops.sum(self.values_probs * below, axis=-1)

    def icdf(self, probability: Array) -> Array:
        self._need_discrete("the soft number has no tractable cdf; give hard=True")
        below = ops.cast(self.values[..., None, :] <= self.values[..., None], self.values)
        reached = ops.sum(self.values_probs[..., None, :] * below, axis=-1)
        most = ops.max(self.values, axis=-1)[..., None]
        enough = reached >= probability[..., None]
        return ops.min(ops.where(enough, self.values, most), axis=-1)

    def enumerate_support(self) -> Array:
        self._need_discrete("only hard=True has values to enumerate")
        return ops.moveaxis(self.values, -1, 0)

    def harden(self, value: Array) -> Array:
        """Returns the nearest of the values, of the value's shape."""
        index = ops.argmax(-ops.abs(value[..., None] - self.values), axis=-1)
        return self._pick(index)
