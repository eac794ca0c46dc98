"""Problems of a few bits, every combination of which is scored."""

import itertools
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from sklearn.datasets import load_diabetes

from models.studies.accuracy.hosts import Fit, Host, NumPyro
from models.studies.accuracy.problem import Problem

Score = Callable[[Any, Any], Any]
"""From a host and zeros and ones, (..., n), to a log density, (...)."""


def enumerated(
    about: str, prior: np.ndarray, score: Score, log_joint: Callable[[np.ndarray], float]
) -> Problem:
    """A problem of bits that are independent but for what the data say.

    :param prior: the probability of each.
    :param score: what the data add to it, for a program.
    :param log_joint: of one combination, (n,), of prior and data, written without the library.
    """
    n = len(prior)

    def programs(host: Host) -> tuple[Callable[[], Any], Mapping[str, Fit]]:
        probs = host.array(prior)

        def model() -> None:
            z = host.lib.sample("z", host.dist.Bernoulli(probs).to_event(1))
            host.lib.factor("data", score(host, 1.0 * z))

        auto = host.rx.AutoDiscrete
        wake = {"num_particles": 64}
        return model, {
            # Of a guide that is far off few draws count: there have to be more of them.
            "mean field": Fit(auto(model), "LocalExpectation_ELBO", draws=100_000),
            # What will be weighted had better cover the posterior: the other divergence.
            "dependent": Fit(
                auto(model, structure="autoregressive"), "ReweightedWakeSleep_ELBO", wake, steps=800
            ),
        }

    def sampled() -> None:
        host = NumPyro()
        with host.lib.plate("bits", n):
            z = host.lib.sample("z", host.dist.Bernoulli(host.array(prior)))
        host.lib.factor("data", score(host, 1.0 * z))

    values = np.array(list(itertools.product((0, 1), repeat=n)))
    scores = np.array([log_joint(z) for z in values])
    mass = np.exp(scores - scores.max())
    mass /= mass.sum()
    one = mass @ values
    return Problem(
        about,
        programs,
        sampled,
        lambda draws: draws["z"],
        np.stack([1 - one, one], 1),
        range(n),
        mass.reshape((2,) * n),
        f"all {2**n:,} combinations",
    )


def spike_and_slab() -> Problem:
    """Which of ten variables the progression of diabetes depends on."""
    data = load_diabetes()
    x = (data.data - data.data.mean(0)) / data.data.std(0)
    y = (data.target - data.target.mean()) / data.target.std()
    gram, moment, noise, slab = x.T @ x, x.T @ y, 0.5, 0.05

    def score(host: Host, z: Any) -> Any:
        # Coefficients are summed out: y is normal with covariance noise + slab X diag(z) X'.
        linalg = host.xp.linalg
        tied = z[..., :, None] * z[..., None, :]
        a = host.array(np.eye(10)) + host.array(slab / noise * gram) * tied
        b = z * host.array(moment)
        fit = (b * linalg.solve(a, b[..., None])[..., 0]).sum(-1)
        return 0.5 * slab / noise**2 * fit - 0.5 * linalg.slogdet(a)[1]

    def log_joint(z: np.ndarray) -> float:
        on = x[:, z == 1]
        # Of the ten-dimensional form above nothing is used: the covariance of all 442 patients.
        w = on.T @ on / noise + np.eye(on.shape[1]) / slab
        log_det = np.linalg.slogdet(w)[1] + on.shape[1] * np.log(slab)
        residual = y - on @ np.linalg.solve(w, on.T @ y) / noise
        prior = z.sum() * np.log(0.3) + (10 - z.sum()) * np.log(0.7)
        return float(prior - 0.5 * log_det - 0.5 * y @ residual / noise)

    about = "Spike and slab on the ten variables of scikit-learn's diabetes data"
    return enumerated(about, np.full(10, 0.3), score, log_joint)


def noisy_or() -> Problem:
    """Eight diseases, each of which may cause some of six findings, four seen and two not."""
    rng = np.random.default_rng(4)
    cause = rng.uniform(0.3, 0.9, (8, 6)) * (rng.uniform(size=(8, 6)) < 0.45)
    prior, leak = rng.uniform(0.03, 0.2, 8), 0.02
    seen = np.array([1, 1, 1, 1, 0, 0])

    def score(host: Host, z: Any) -> Any:
        silent = np.log1p(-leak) + z @ host.array(np.log1p(-cause))
        found = host.array(seen)
        shown = host.xp.log(-host.xp.expm1(silent))
        return (found * shown + (1 - found) * silent).sum(-1)

    def log_joint(z: np.ndarray) -> float:
        absent = (1 - leak) * np.prod((1 - cause) ** z[:, None], 0)
        mass = np.where(seen == 1, 1 - absent, absent)
        return float(np.log(np.where(z == 1, prior, 1 - prior)).sum() + np.log(mass).sum())

    about = "Diagnosis by noisy-or: eight diseases, six findings (drawn tables, no data)"
    return enumerated(about, prior, score, log_joint)


def ising() -> Problem:
    """A grid of nine spins, each seen through noise."""
    edges = [(3 * i + j, 3 * i + j + 1) for i in range(3) for j in range(2)]
    edges += [(3 * i + j, 3 * i + j + 3) for i in range(2) for j in range(3)]
    y = np.array([0.9, -0.3, 0.4, 0.2, -0.6, 0.1, -0.8, -0.2, 0.3])
    coupling, noise = 0.5, 1.2
    bonds = np.zeros((9, 9))
    for a, b in edges:
        bonds[a, b] = coupling

    def score(host: Host, z: Any) -> Any:
        spins = 2.0 * z - 1
        square = ((host.array(y) - spins) / noise) ** 2
        return (spins * (spins @ host.array(bonds))).sum(-1) - 0.5 * square.sum(-1)

    def log_joint(z: np.ndarray) -> float:
        spins = 2 * z - 1
        tied = sum(coupling * spins[a] * spins[b] for a, b in edges)
        return float(tied - 0.5 * (((y - spins) / noise) ** 2).sum())

    about = "An Ising grid of 3 by 3 spins seen through noise"
    return enumerated(about, np.full(9, 0.5), score, log_joint)
