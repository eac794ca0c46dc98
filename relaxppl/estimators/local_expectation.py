"""Local expectations: each discrete variable summed over its values, the others at their draw.

Titsias & Lázaro-Gredilla, 2015 (arXiv:1503.01494), for discrete variables; De Smet et al., 2023
(arXiv:2311.12569), whose IndeCateR it is where the variables are independent. With f_k what the
downstream of a variable costs at its value k,

    h_k = q_k (f_k - sum_j q_j f_j),

the derivative of sum_k q_k f_k in the logits. What the guide draws downstream of the variable is
drawn again for each k, with the noise of the first run.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from relaxppl import ops
from relaxppl.estimators.alone import changes
from relaxppl.estimators.base import Arrays, Estimator, Step
from relaxppl.estimators.expansion import expanded
from relaxppl.estimators.laws import Bernoulli, Categorical, Law, OneHotCategorical
from relaxppl.estimators.sequences import Paths, Subsets
from relaxppl.ops import Array


@dataclass(frozen=True)
class LocalExpectation(Estimator):
    """Each variable summed over its values, the others at their draw.

    A variable with K values takes K - 1 more evaluations of the program, batched; the elements of a
    plate share them where everything downstream lies in that plate. A site with one variable there
    is summed exactly: its gradient has no variance of its own. A MarkovChain is summed exactly
    where its cost is a sum over states and neighbours, a ConditionalBernoulli where it is one over
    items; the score function takes what is left.

    :param max_evaluations: how many further evaluations a site may take in a step; more are an
        error that names their number.

    Titsias & Lázaro-Gredilla, 2015 (arXiv:1503.01494).
    """

    name = "local_expectation"
    laws = (Bernoulli, OneHotCategorical, Categorical, Subsets, Paths)

    max_evaluations: int = 1_000

    def checks(self) -> dict[str, tuple[bool, str]]:
        return {"max_evaluations": (self.max_evaluations >= 1, "at least 1")}

    @classmethod
    def local(cls, step: Step, names: list[str]) -> Arrays:
        return {name: _site(step, name, step.chosen[name].max_evaluations) for name in names}


def _site(step: Step, name: str, limit: int) -> Array:
    if step.site(name).sequence is not None:
        return expanded(step, name, limit)
    law = step.law(name).stopped()
    hard = ops.stop_gradient(law.encode(step.site(name).value))
    others = other_values(law, hard)
    if not others.shape[0]:  # One class: nothing to choose.
        return ops.zeros_like(law.logits)
    values = ops.cast(law.decode(others), law.logits)
    return local_gradient(law, hard, others, changes(step, name, values, limit))


def other_values(law: Law, hard: Array) -> Array:
    """Returns every other value of each variable, encoded, along a new first axis.

    :param hard: the encoded value drawn, of the logits' shape.
    """
    if not law.rank:
        return 1.0 - hard[None]
    classes = int(hard.shape[-1])
    turned = (np.arange(classes) - np.arange(1, classes)[:, None]) % classes
    return ops.moveaxis(hard[..., turned], -2, 0)


def local_gradient(law: Law, hard: Array, others: Array, changed: Array) -> Array:
    """Returns h, of the logits' shape.

    :param law: the law, its parameters stopped.
    :param hard: the encoded value drawn.
    :param others: what :func:`other_values` returns.
    :param changed: by how much each of them changes the costs, along a first axis.
    """
    if not law.rank:
        slope = ops.sigmoid(law.logits) * ops.sigmoid(-law.logits)
        return slope * (1.0 - 2.0 * hard) * changed[0]
    q = ops.softmax(law.logits, axis=-1)
    # Of a class that is ruled out, a logit of -inf, the cost is infinite: it must not count.
    changed = ops.where(ops.sum(others * q, axis=-1, keepdims=True) > 0.0, changed, 0.0)
    costs = ops.sum(changed * others, axis=0)
    return q * (costs - ops.sum(q * costs, axis=-1, keepdims=True))
