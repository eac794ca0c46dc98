"""Coupled differences: the gradient of a count from what one more, or one less, would cost.

The derivative of a mean over a Poisson, binomial, geometric or negative binomial count is the mean
of a finite difference (:mod:`relaxppl.estimators.counts` has them, with their proofs' ideas). Both
values of the difference are coupled: all else, noise downstream included, is the same.
"""

from __future__ import annotations

from dataclasses import dataclass

from relaxppl import ops
from relaxppl.estimators.alone import changes
from relaxppl.estimators.base import OTHER, Arrays, Estimator, Step
from relaxppl.estimators.counts import Binomial, NegativeBinomial, Poisson
from relaxppl.ops import Array


@dataclass(frozen=True)
class Coupled(Estimator):
    """The difference that one more makes, of a Poisson, Binomial, Geometric or NegativeBinomial.

    One more evaluation of the program for each variable, and a second one where the number of
    failures of a NegativeBinomial is learned; the elements of a plate share it where everything
    downstream lies in that plate.

    :param max_evaluations: how many further evaluations a site may take in a step; more are an
        error that names their number.

    Stein's identity for the Poisson (Chen, 1975); Kemp, 1981, for the logarithmic law.
    """

    name = "coupled"
    laws = (Poisson, Binomial, NegativeBinomial)

    max_evaluations: int = 1_000

    def checks(self) -> dict[str, tuple[bool, str]]:
        return {"max_evaluations": (self.max_evaluations >= 1, "at least 1")}

    @classmethod
    def local(cls, step: Step, names: list[str]) -> Arrays:
        return {name: _site(step, name, step.chosen[name].max_evaluations) for name in names}


def _site(step: Step, name: str, limit: int) -> Array:
    site = step.site(name)
    assert site.count is not None
    count = site.count.stopped()
    value = ops.cast(ops.stop_gradient(site.value), count.parameters)
    noise = value
    if count.noises:
        noise = step.program.noise("logistic", (count.noises, *value.shape), site, OTHER)
    others = count.others(value, noise)
    return count.local_gradient(value, others, changes(step, name, others, limit))
