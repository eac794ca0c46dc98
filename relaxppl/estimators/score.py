"""The score function and the baselines that lower its variance without bias.

A baseline may be anything that does not depend on the draw it is subtracted from.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from relaxppl import ops
from relaxppl.estimators import network
from relaxppl.estimators.base import Arrays, Draws, Estimator, Parameter
from relaxppl.estimators.laws import total
from relaxppl.estimators.program import Learned
from relaxppl.estimators.site import Candidate
from relaxppl.ops import Array


@dataclass(frozen=True)
class ScoreFunction(Estimator):
    """The score function with each site's downstream cost only, and a baseline.

    :param baseline: None; "average", a decaying average of the site's cost; or "network", a small
        network of the array that the guide gives as ``infer={"estimator_input": ...}``, of shape
        (*plates, features). On NumPyro the latter two need ``prepare``.
    :param decay: how much of the average stays at each step, in [0, 1).
    :param hidden: the hidden units of the network.

    Mnih & Gregor, 2014 (arXiv:1402.0030); Schulman et al., 2015 (arXiv:1506.05254).
    """

    name = "score"
    sees_all_draws = True

    baseline: str | None = None
    decay: float = 0.9
    hidden: int = 16

    def checks(self) -> dict[str, tuple[bool, str]]:
        kinds = (None, "average", "network")
        return {
            "baseline": (self.baseline in kinds, "None, 'average' or 'network'"),
            "decay": (0 <= self.decay < 1, "in [0, 1)"),
        }

    def parameters(self, site: Candidate) -> list[Parameter]:
        if self.baseline == "average":
            return [Parameter(f"{site.name}.baseline.average", "average")]
        if self.baseline == "network":
            return [Parameter(f"{site.name}.baseline", "network", hidden=self.hidden)]
        return []

    @property
    def linear(self) -> ScoreFunction:
        return ScoreFunction()

    def compare(self, name: str, draws: Draws, learned: Learned, axis: int) -> Array:
        baseline: Any = 0.0
        if self.baseline == "average":
            mean = total(ops.stop_gradient(draws.cost)) / float(max(_size(draws.cost), 1))
            baseline = learned.average(f"{name}.baseline.average", mean, self.decay)
        elif self.baseline == "network":
            baseline = self._network(name, draws, learned)
        return total(surrogate(draws.log_q, draws.cost - baseline))

    def _network(self, name: str, draws: Draws, learned: Learned) -> Array:
        """Returns a baseline for each cost, and learns it by least squares."""
        side = draws.side
        if side is None:
            raise no_input(name)
        prefix = f"{name}.baseline"
        weights = learned.network(prefix, side.shape[-1], self.hidden, draws.cost)

        def error(weights: Arrays) -> tuple[Array, Array]:
            predicted = draws.scale * network.apply(weights, side)
            return total((ops.stop_gradient(draws.cost) - predicted) ** 2), predicted

        _, gradients, predicted = ops.value_and_grad(error, weights)
        for key, gradient in gradients.items():
            learned.learn(f"{prefix}.{key}", gradient)
        return ops.stop_gradient(predicted)


def no_input(name: str) -> ValueError:
    """Returns the error where a site gives its baseline's network nothing to see."""
    return ValueError(
        f"site {name!r}: a network baseline needs the inputs that it sees; give them in the guide "
        "as infer={'estimator_input': array of shape (*plates, features)}"
    )


def decay(average: Array, cost: Array, rate: float) -> Array:
    """Returns the next decaying average of a cost.

    :param average: the average so far.
    :param cost: the new cost, of the same shape.
    :param rate: how much of the average stays, in [0, 1).
    """
    return rate * average + (1.0 - rate) * ops.stop_gradient(cost)


def surrogate(log_prob: Array, advantage: Array) -> Array:
    """Returns a term whose gradient is that of the score function, element by element.

    :param log_prob: log q of the draw, neither masked nor scaled: the law of sampling is not.
    :param advantage: the downstream cost less its baseline, broadcast against it.
    """
    return log_prob * ops.stop_gradient(advantage)


def _size(x: Array) -> int:
    size = 1
    for n in x.shape:
        size *= n
    return size
