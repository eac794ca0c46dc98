"""Reference posteriors of conjugate mixtures: many Gibbs chains at once, in NumPy."""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np

CHAINS, SWEEPS, BURN = 100, 2000, 400


class Reference(NamedTuple):
    """Probabilities of each row's class, those of some rows together, and how well known."""

    marginals: np.ndarray
    table: np.ndarray
    error: float
    """The largest standard error of a marginal, from the spread of the chains' halves."""
    r_hat: float

    def __str__(self) -> str:
        return f"{CHAINS} Gibbs chains, within {self.error:.4f}, R-hat at most {self.r_hat:.2f}"


def reference(sweep: Callable[[], np.ndarray], joint: list[int]) -> Reference:
    """Runs the chains; what is averaged are conditional probabilities, less noisy than draws.

    :param sweep: takes one step; returns each row's probabilities, (chains, rows, K).
    :param joint: whose joint law is wanted.
    """
    for _ in range(BURN):
        sweep()
    table: Any = 0.0
    halves = []
    count = (SWEEPS - BURN) // 2
    for _ in range(2):
        total: Any = 0.0
        square: Any = 0.0
        for _ in range(count):
            p = sweep()
            total, square = total + p, square + p**2
            together = p[:, joint[0]]
            for row in joint[1:]:
                further = p[:, row].reshape(len(p), *(1,) * (together.ndim - 1), -1)
                together = together[..., None] * further
            table = table + together.mean(0) / (2 * count)
        halves.append((total / count, square / count))
    means = np.concatenate([mean for mean, _ in halves])
    within = np.concatenate([square - mean**2 for mean, square in halves]).mean(0)
    between = means.var(0, ddof=1)
    # Of probabilities that hardly vary nothing is to be learned.
    varied = within > 1e-8
    r_hat = np.sqrt(1 + between[varied] / within[varied])
    error = float(np.sqrt(between / len(means)).max())
    return Reference(means.mean(0), table, error, float(r_hat.max()))


def beta_mixture(
    patterns: np.ndarray,
    counts: np.ndarray,
    prior: np.ndarray,
    share: np.ndarray,
    joint: list[int],
) -> Reference:
    """Two classes with Beta rates for each column: rows of equal answers are drawn together.

    :param patterns: zeros and ones, (rows, columns).
    :param counts: how often each is there.
    :param prior: of the rates, ones and zeros of each class, (2, 2).
    :param share: of the two classes, as of a Dirichlet law.
    """
    rng = np.random.default_rng(0)
    a, b = prior[:, 0, None], prior[:, 1, None]
    rate = rng.beta(a, b, (CHAINS, 2, patterns.shape[1]))
    ones = rng.beta(share[1], share[0], CHAINS)

    def sweep() -> np.ndarray:
        nonlocal rate, ones
        score = np.log(rate) @ patterns.T + np.log1p(-rate) @ (1 - patterns.T)
        odds = score[:, 1] - score[:, 0] + np.log(ones / (1 - ones))[:, None]
        p = 1 / (1 + np.exp(-odds))
        member = rng.binomial(counts, p)
        both = np.stack([counts - member, member], 1)
        rate = rng.beta(a + both @ patterns, b + both @ (1 - patterns)).clip(1e-12, 1 - 1e-12)
        ones = rng.beta(share[1] + both[:, 1].sum(1), share[0] + both[:, 0].sum(1))
        return np.stack([1 - p, p], -1)

    return reference(sweep, joint)


def normal_mixture(
    data: np.ndarray,
    centres: np.ndarray,
    spread: float,
    precision: Iterable[float],
    share: np.ndarray,
    joint: list[int],
) -> Reference:
    """Classes with normal means and Gamma precisions; half of the chains start in reverse order.

    :param data: (rows,).
    :param centres: of the means' prior.
    :param spread: of the means' prior.
    :param precision: shape and rate of the precisions' prior.
    :param share: of the classes, as of a Dirichlet law.
    """
    rng = np.random.default_rng(0)
    shape, rate = precision
    mean = centres + spread * rng.normal(size=(CHAINS, len(centres)))
    mean[::2] = mean[::2, ::-1]
    tau, weight = np.full(mean.shape, shape / rate), np.full(mean.shape, 1 / len(centres))

    def sweep() -> np.ndarray:
        nonlocal mean, tau, weight
        square = (data[:, None] - mean[:, None]) ** 2
        score = np.log(weight * np.sqrt(tau))[:, None] - 0.5 * tau[:, None] * square
        p = np.exp(score - score.max(-1, keepdims=True))
        p /= p.sum(-1, keepdims=True)
        z = (np.cumsum(p, -1)[..., :-1] < rng.uniform(size=(*p.shape[:2], 1))).sum(-1)
        member = (z[..., None] == np.arange(len(centres))).astype(float)
        count, total = member.sum(1), np.einsum("cnk,n->ck", member, data)
        weight = rng.gamma(share + count)
        weight = weight / weight.sum(-1, keepdims=True)
        tied = 1 / spread**2 + tau * count
        mean = (centres / spread**2 + tau * total) / tied
        mean = mean + rng.normal(size=count.shape) / np.sqrt(tied)
        square = (member * (data[:, None] - mean[:, None]) ** 2).sum(1)
        tau = rng.gamma(shape + count / 2) / (rate + square / 2)
        return p

    return reference(sweep, joint)
