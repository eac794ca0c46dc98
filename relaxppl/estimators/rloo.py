"""RLOO: the score function, the mean cost of the other draws as each draw's baseline."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from relaxppl import ops
from relaxppl.estimators import score
from relaxppl.estimators.base import Draws, Estimator
from relaxppl.estimators.laws import total
from relaxppl.estimators.program import Learned
from relaxppl.estimators.site import Candidate
from relaxppl.ops import Array


@dataclass(frozen=True)
class RLOO(Estimator):
    """The score function, the mean cost of the other draws as each draw's baseline.

    There are at least two draws, the ELBO's particles, which share the plates' subsamples.

    Kool et al., 2019, "Buy 4 REINFORCE samples, get a baseline for free".
    """

    name = "rloo"
    default_particles = 2
    compares = True
    sees_all_draws = True

    @classmethod
    def for_elbo(cls, num_particles: int, options: dict[str, Any]) -> tuple[RLOO, int]:
        if num_particles < 2:
            raise ValueError(f"RLOO_ELBO needs num_particles >= 2, got {num_particles}")
        return cls(**options), num_particles

    def check(self, site: Candidate, num_particles: int) -> None:
        if num_particles < 2:
            raise ValueError(
                f"site {site.name!r}: rloo compares draws and needs num_particles >= 2, got "
                f"{num_particles}"
            )

    def compare(self, name: str, draws: Draws, learned: Learned, axis: int) -> Array:
        baseline: Any = 0.0
        if draws.cost.shape[axis] > 1:  # What one draw alone reaches has nothing to compare with.
            baseline = leave_one_out(draws.cost, axis)
        return total(score.surrogate(draws.log_q, draws.cost - baseline))


def leave_one_out(costs: Array, axis: int = 0) -> Array:
    """Returns for each of K draws the mean cost of the others.

    :param costs: with K >= 2 along an axis. Kool et al., 2019; Salimans & Knowles, 2014.
    :param axis: that axis.
    """
    count = costs.shape[axis]
    return (ops.sum(costs, axis=axis, keepdims=True) - costs) / (count - 1.0)
