"""Models whose discrete posterior is enumerated, and their best mean-field approximations.

Written once for both hosts; the oracles are NumPy and SciPy and share nothing with the library.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from scipy import optimize, special, stats

LOCS = np.array([-6.0, -4.0, -2.5, -1.0, 0.5, 2.0, 3.5, 6.0])
WEIGHTS = np.array([0.2, 0.1, 0.15, 0.1, 0.05, 0.1, 0.2, 0.1])
Y = np.array([-5.0, -1.7, 0.1, 1.4, 4.2])


def mixture_posterior() -> np.ndarray:
    """P(component | y), (5, 8): with known components it factorises, so it is mean-field."""
    log_p = np.log(WEIGHTS) + stats.norm.logpdf(Y[:, None], LOCS, 1.0)
    return special.softmax(log_p, axis=-1)


def mixture(host: Any) -> Any:
    def model() -> None:
        with host.plate("data", len(Y)):
            z = host.sample("z", host.rx.OneHotCategorical(probs=host.array(WEIGHTS)))
            host.sample("y", host.dist.Normal(z @ host.array(LOCS), 1.0), obs=host.array(Y))

    return model


def network_log_joint(b: int, a: int, c: int) -> float:
    """log P(b, a | c, wet) up to a constant: rain b, sprinkler a given rain, slippery c given both.

    Observed is one noisy reading of the sum of the three.
    """
    log_p = stats.bernoulli.logpmf(b, 0.3)
    log_p += stats.bernoulli.logpmf(a, special.expit(0.4 - 2.0 * b))
    log_p += stats.bernoulli.logpmf(c, special.expit(-2.0 + 3.0 * a + 4.0 * b - 2.5 * a * b))
    return float(log_p + stats.norm.logpdf(1.4, a + b + 0.8 * c, 0.7))


def network_mean_field() -> np.ndarray:
    """The probabilities of b, a, c in the best product of Bernoullis, by SciPy."""
    values = list(itertools.product((0, 1), repeat=3))
    log_p = np.array([network_log_joint(*v) for v in values])

    def loss(logits: np.ndarray) -> float:
        log_q = np.sum(
            np.where(np.array(values), -np.logaddexp(0, -logits), -np.logaddexp(0, logits)), axis=1
        )
        return float(np.sum(np.exp(log_q) * (log_q - log_p)))

    starts = itertools.product((-2.0, 2.0), repeat=3)
    best = min((optimize.minimize(loss, s) for s in starts), key=lambda r: r.fun)
    return special.expit(best.x)


def network(host: Any) -> Any:
    def model() -> None:
        b = host.sample("b", host.dist.Bernoulli(host.array(0.3)))
        a = host.sample("a", host.dist.Bernoulli(logits=0.4 - 2.0 * b))
        logit = -2.0 + 3.0 * a + 4.0 * b - 2.5 * a * b
        c = host.sample("c", host.dist.Bernoulli(logits=logit))
        host.sample("x", host.dist.Normal(a + b + 0.8 * c, 0.7), obs=host.array(1.4))

    return model
