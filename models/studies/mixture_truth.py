"""Ten irises, three means: the exact posterior by enumeration, and the best factorised guide.

Lengths y_i ~ Normal(mu_{z_i}, SCALE), z_i uniform on three components, mu_k ~ Normal(PRIOR_k, 1).
"""

from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp, softmax

Array = NDArray[np.float64]

COMPONENTS = 3
PRIOR = np.array([2.0, 4.0, 6.0])
SCALE = 0.8


@dataclass(frozen=True)
class Answer:
    """What a method says.

    :param loc: draws of the means, (draws, 3).
    :param assignment: draws of the components of the flowers, (draws, flowers).
    :param probs: the probability of each component for each flower, (flowers, 3).
    :param bound: a lower bound on the log evidence, or the log evidence itself.
    """

    loc: Array
    assignment: NDArray[np.int64]
    probs: Array
    bound: float


def draw_assignments(probs: Array, rng: np.random.Generator) -> NDArray[np.int64]:
    """Components from probabilities (..., 3)."""
    uniform = rng.random((*probs.shape[:-1], 1))
    return np.minimum((uniform > probs.cumsum(-1)).sum(-1), COMPONENTS - 1)


def exact(y: Array, draws: int, rng: np.random.Generator) -> Answer:
    """The posterior itself: every assignment in turn, with the means integrated out."""
    every = np.array(list(product(range(COMPONENTS), repeat=len(y))))
    member = np.eye(COMPONENTS)[every]
    count = member.sum(1)
    residual = y[:, None] - PRIOR
    total = np.einsum("anc,nc->ac", member, residual)
    squares = np.einsum("anc,nc->ac", member, residual**2)
    variance = SCALE**2
    evidence = -0.5 * (
        count * np.log(2 * np.pi * variance)
        + np.log1p(count / variance)
        + (squares - total**2 / (variance + count)) / variance
    )
    log_joint = evidence.sum(1) - len(y) * np.log(COMPONENTS)
    weight = softmax(log_joint)
    chosen = rng.choice(len(every), draws, p=weight)
    mean = PRIOR + total / (count + variance)
    spread = np.sqrt(variance / (count + variance))
    loc = mean[chosen] + spread[chosen] * rng.standard_normal((draws, COMPONENTS))
    probs = np.einsum("a,anc->nc", weight, member)
    return Answer(loc, every[chosen], probs, float(logsumexp(log_joint)))


def bound(y: Array, mean: Array, spread: Array, probs: Array) -> float:
    """The bound of a guide with independent normal means and independent assignments."""
    square = (y[:, None] - mean) ** 2 + spread**2
    fit = -0.5 * np.log(2 * np.pi * SCALE**2) - 0.5 * square / SCALE**2
    entropy = -np.log(np.maximum(probs, 1e-300))
    divergence = 0.5 * (spread**2 + (mean - PRIOR) ** 2 - 1.0) - np.log(spread)
    return float((probs * (fit + entropy - np.log(COMPONENTS))).sum() - divergence.sum())


def factorised(
    y: Array, mean: Array, spread: Array, probs: Array, draws: int, rng: np.random.Generator
) -> Answer:
    """The answer of a guide with independent normal means and independent assignments."""
    loc = mean + spread * rng.standard_normal((draws, COMPONENTS))
    repeated = np.broadcast_to(probs, (draws, *probs.shape))
    return Answer(loc, draw_assignments(repeated, rng), probs, bound(y, mean, spread, probs))


def best_factorised(y: Array, draws: int, rng: np.random.Generator) -> Answer:
    """The best such guide, by coordinate ascent: what an unbiased gradient should find."""
    mean, spread = PRIOR.copy(), np.ones(COMPONENTS)
    for _ in range(2000):
        probs = softmax(-0.5 * ((y[:, None] - mean) ** 2 + spread**2) / SCALE**2, axis=1)
        precision = 1.0 + probs.sum(0) / SCALE**2
        mean = (PRIOR + probs.T @ y / SCALE**2) / precision
        spread = precision**-0.5
    return factorised(y, mean, spread, probs, draws, rng)


def marginalised(
    y: Array, mean: Array, spread: Array, draws: int, rng: np.random.Generator
) -> Answer:
    """The answer of a guide of the means alone, the assignments summed out exactly."""
    loc = mean + spread * rng.standard_normal((draws, COMPONENTS))
    logits = -0.5 * (y[:, None] - loc[:, None]) ** 2 / SCALE**2
    each = softmax(logits, axis=-1)
    level = np.log(COMPONENTS) + 0.5 * np.log(2 * np.pi * SCALE**2)
    fit = (logsumexp(logits, axis=-1) - level).sum(1).mean()
    divergence = 0.5 * (spread**2 + (mean - PRIOR) ** 2 - 1.0) - np.log(spread)
    return Answer(loc, draw_assignments(each, rng), each.mean(0), float(fit - divergence.sum()))
