"""The score function and the baselines that lower its variance without bias.

A baseline may be anything that does not depend on the draw it is subtracted from.
"""

from __future__ import annotations

from relaxppl import ops
from relaxppl.relaxations.base import Array


def leave_one_out(costs: Array, axis: int = 0) -> Array:
    """Returns for each of K draws the mean cost of the others (RLOO).

    :param costs: with K >= 2 along an axis. Kool et al., 2019; Salimans & Knowles, 2014.
    :param axis: that axis.
    """
    count = costs.shape[axis]
    return (ops.sum(costs, axis=axis, keepdims=True) - costs) / (count - 1.0)


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
