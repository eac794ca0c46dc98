"""DisARM: local gradients from an antithetic pair of hard values.

Dong et al., 2020 (arXiv:2006.10680) for the Bernoulli; 2021 (arXiv:2106.08056) for the categorical,
as the first success among K - 1 Bernoullis that break a stick.
"""

from __future__ import annotations

from dataclasses import dataclass

from relaxppl import ops
from relaxppl.estimators.base import OTHER, Arrays, Estimator, Step
from relaxppl.estimators.laws import Bernoulli, Categorical, Law, OneHotCategorical, total
from relaxppl.estimators.program import levels
from relaxppl.estimators.sticks import first_success, stick_logits
from relaxppl.ops import Array
from relaxppl.relaxations.relaxed_bernoulli import BinaryConcrete


@dataclass(frozen=True)
class DisARM(Estimator):
    """The antithetic estimator: one more evaluation of the model, at the mirrored draw.

    Sites that do not depend on each other are mirrored together, others in evaluations apart.

    Dong et al., 2020 (arXiv:2006.10680), and 2021 (arXiv:2106.08056) for categorical sites.
    """

    name = "disarm"
    laws = (Bernoulli, OneHotCategorical, Categorical)

    @classmethod
    def local(cls, step: Step, names: list[str]) -> Arrays:
        found: Arrays = {}
        for level in levels(step.program.sites, names):
            pairs, at = {}, {}
            for name in level:
                site, law = step.site(name), step.law(name)
                noise = step.program.noise("logistic", noise_shape(law), site, OTHER)
                pairs[name] = Antithetic(law, law.encode(site.value), noise)
                at[name] = ops.cast(law.decode(pairs[name].value), site.value)
            terms = step.program.evaluate(at)
            for name, pair in pairs.items():
                found[name] = pair.local_gradient(step.reward(name), step.cost(terms, name))
        return found


def noise_shape(law: Law) -> tuple[int, ...]:
    """Returns the shape of the standard logistic noise that :class:`Antithetic` takes."""
    shape = tuple(law.logits.shape)
    return (*shape[:-1], shape[-1] - 1) if isinstance(law, OneHotCategorical) else shape


class Antithetic:
    """The draw that the mirrored noise would have made.

    :param law: a Bernoulli or a categorical; its parameters are stopped here.
    :param hard: the encoded value that was drawn.
    :param noise: standard logistic, independent of the value, of the shape :func:`noise_shape`.
    """

    def __init__(self, law: Law, hard: Array, noise: Array) -> None:
        self.law = law.stopped()
        self.sticks = isinstance(law, OneHotCategorical)
        hard = ops.stop_gradient(hard)
        self.logits = stick_logits(self.law.logits) if self.sticks else self.law.logits
        if self.sticks:
            # Sticks before the class failed, its own succeeded; those after it were never tossed.
            passed = ops.cumsum(hard, axis=-1)[..., :-1]
            fresh = ops.cast(self.logits + noise > 0, hard)
            bits = ops.where(passed - hard[..., :-1] > 0.5, fresh, hard[..., :-1])
        else:
            bits = hard
        latent = BinaryConcrete(logits=self.logits).latent_given_hard(bits, noise)
        if self.sticks:
            latent = ops.where(passed - hard[..., :-1] > 0.5, self.logits + noise, latent)
        self.bits = bits
        # The mirror of z = a + l is a - l.
        self.mirrored = ops.cast(2.0 * self.logits - latent > 0, hard)
        self.value = first_success(self.mirrored) if self.sticks else self.mirrored
        if self.sticks:
            # A stick after both classes says nothing about the costs.
            other = ops.cumsum(self.value, axis=-1)[..., :-1] - self.value[..., :-1]
            mine = passed - hard[..., :-1]
            self.used = 1.0 - mine * other

    def local_gradient(self, cost: Array, mirrored_cost: Array) -> Array:
        """Returns h, an unbiased estimate of the gradient in the logits, of their shape.

        :param cost: the costs at the value drawn, shaped to broadcast against the logits.
        :param mirrored_cost: the costs at :attr:`value`.
        """
        sign = (self.bits - self.mirrored) * ops.sigmoid(ops.abs(self.logits))
        h = 0.5 * (cost - mirrored_cost) * sign
        if not self.sticks:
            return h
        h = h * self.used

        def pulled(logits: Array) -> tuple[Array, tuple[()]]:
            return total(stick_logits(logits) * h), ()

        return ops.value_and_grad(pulled, self.law.logits)[1]
