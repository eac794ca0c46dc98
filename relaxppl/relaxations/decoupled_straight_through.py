"""Straight-through Gumbel-softmax with one temperature for each direction.

Shah et al., 2024 (arXiv:2410.13331): one_hot(argmax((l + g) / T_f)) forward, the gradient of
softmax((l + g) / T_b) backward, g standard Gumbel.
"""

from __future__ import annotations

from relaxppl import ops
from relaxppl.ops import Array
from relaxppl.relaxations.base import Parameter
from relaxppl.relaxations.cached import cached_property
from relaxppl.relaxations.categorical import PROBS_OR_LOGITS
from relaxppl.relaxations.relaxed_one_hot import RelaxedOneHotCategoricalStraightThrough


class DecoupledStraightThroughGumbelSoftmax(RelaxedOneHotCategoricalStraightThrough):
    """The one-hot class forward, the gradient of softmax(z / T_b) backward; a categorical law.

    With z = l + g the argmax of z / T_f is that of z: the forward temperature changes neither the
    value nor its law, which is Categorical(softmax(l)), nor the gradient. Where it is meant to act,
    ``scale_logits=True`` puts it before the noise: z = l / T_f + g, whose argmax is
    Categorical(softmax(l / T_f)), and the backward pass goes through softmax(z / T_b) of that z.

    :param temperature_forward: T_f, positive, (*batch,).
    :param temperature_backward: T_b, positive, (*batch,).
    :param probs: the probabilities of the K classes, (*batch, K); or
    :param logits: their logarithms up to a constant, (*batch, K).
    :param scale_logits: whether the forward temperature scales the logits before the noise.
    :raises ValueError: if a temperature is not positive, or not exactly one of probs and logits is
        given.

    Shah et al., 2024 (arXiv:2410.13331).
    """

    parameters = (
        Parameter("temperature_forward", "positive"),
        Parameter("temperature_backward", "positive"),
        PROBS_OR_LOGITS,
        Parameter("scale_logits", "boolean", default=False, static=True),
    )
    further = ("class_probs",)

    @property
    def hard_law(self) -> str | None:  # type: ignore[override]
        # Scaled logits leave the classes other probabilities than the parameter probs.
        return None if self.scale_logits else "OneHotCategorical"

    @property
    def temperature(self) -> Array:
        """The temperature of the surrogate."""
        return self.temperature_backward

    @cached_property
    def log_probs(self) -> Array:
        """The log probabilities of the K classes of the value, (*batch, K)."""
        if not self.scale_logits:
            return ops.log_softmax(self.logits, axis=-1)
        return ops.log_softmax(self.logits / self.temperature_forward[..., None], axis=-1)

    @property
    def class_probs(self) -> Array:
        """The probabilities of the K classes of the value, (*batch, K).

        They differ from the parameter probs when the forward temperature scales the logits.
        """
        return ops.exp(self.log_probs)

    def mean(self) -> Array:
        return self.class_probs

    def variance(self) -> Array:
        return self.class_probs * (1.0 - self.class_probs)

    def entropy(self) -> Array:
        return -ops.sum(self.class_probs * self.log_probs, axis=-1)
