"""The laws of the catalogue in NumPy and SciPy: the oracle of every test of a distribution.

Each law has the parameters of one element of a batch, so that a test that compares a batched
distribution with it also checks the broadcasting. Nothing here is shared with the library.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np
from scipy import special, stats

from tests.relaxations.charts import cube, interval, log_simplex, real, simplex
from tests.relaxations.laws import Array, Continuous, Discrete, Gate, Implicit, Law


def logit_of(probs=None, logits=None) -> float:
    return float(special.logit(probs)) if logits is None else float(logits)


def log_probs_of(probs=None, logits=None) -> Array:
    return np.log(np.asarray(probs, float)) if logits is None else special.log_softmax(logits)


def bernoulli(probs=None, logits=None, **others) -> Law:
    p = special.expit(logit_of(probs, logits))
    return Discrete([0.0, 1.0], [1 - p, p])


def one_hot(probs=None, logits=None, **others) -> Law:
    p = np.exp(log_probs_of(probs, logits))
    return Discrete(np.eye(len(p)), p)


def binary_concrete(temperature, probs=None, logits=None) -> Law:
    a, T = logit_of(probs, logits), float(temperature)
    latent = stats.logistic(loc=a)

    def log_prob(x):
        return latent.logpdf(T * special.logit(x)) + np.log(T) - np.log(x) - np.log1p(-x)

    def sample(rng, n):
        return special.expit(latent.rvs(n, random_state=rng) / T)

    return Continuous(interval, 1, log_prob, sample, a / T, 34 / T)


def logit_binary_concrete(temperature, probs=None, logits=None) -> Law:
    a, T = logit_of(probs, logits), float(temperature)
    law = stats.logistic(loc=a / T, scale=1 / T)
    return Continuous(
        real, 1, law.logpdf, lambda rng, n: law.rvs(n, random_state=rng), a / T, 34 / T
    )


def rebar(temperature, probs=None, logits=None) -> Law:
    T = float(temperature)
    a = logit_of(probs, logits) * (T**2 + T + 1) / (T + 1)
    return binary_concrete(T, logits=a)


def gumbels(rng, n, k) -> Array:
    return -np.log(rng.exponential(size=(n, k)))


def _concrete_of_log(log_x, log_p, T):
    # Maddison et al., 2017, equation 10.
    k = len(log_p)
    score = log_p - T * log_x
    return (
        special.gammaln(k)
        + (k - 1) * np.log(T)
        + (score - log_x).sum(-1)
        - k * special.logsumexp(score, axis=-1)
    )


def concrete(temperature, probs=None, logits=None) -> Law:
    log_p, T = log_probs_of(probs, logits), float(temperature)
    k = len(log_p)

    def sample(rng, n):
        return special.softmax((log_p + gumbels(rng, n, k)) / T, -1)

    return Continuous(
        simplex,
        k - 1,
        lambda x: _concrete_of_log(np.log(x), log_p, T),
        sample,
        (log_p[:-1] - log_p[-1]) / T,
        26 / T,
    )


def log_concrete(temperature, probs=None, logits=None) -> Law:
    """The law of log x; its density is with respect to dx / (x_1 ... x_K)."""
    log_p, T = log_probs_of(probs, logits), float(temperature)
    k = len(log_p)

    def sample(rng, n):
        return special.log_softmax((log_p + gumbels(rng, n, k)) / T, -1)

    return Continuous(
        log_simplex,
        k - 1,
        lambda v: _concrete_of_log(v, log_p, T) + v.sum(-1),
        sample,
        (log_p[:-1] - log_p[-1]) / T,
        26 / T,
    )


def gaussian_gate(loc, scale) -> Law:
    law = stats.norm(float(loc), float(scale))

    def sample(rng, n):
        return np.clip(law.rvs(n, random_state=rng), 0, 1)

    return Gate(law.cdf(0), law.sf(1), law.logpdf, sample)


def hard_concrete(temperature, probs=None, logits=None, low=-0.1, high=1.1) -> Law:
    a, T, lo, hi = logit_of(probs, logits), float(temperature), float(low), float(high)
    latent = stats.logistic(loc=a)

    def interior(x):
        s = (x - lo) / (hi - lo)
        jacobian = np.log(T) - np.log(s) - np.log1p(-s) - np.log(hi - lo)
        return latent.logpdf(T * special.logit(s)) + jacobian

    def sample(rng, n):
        s = special.expit(latent.rvs(n, random_state=rng) / T)
        return np.clip(s * (hi - lo) + lo, 0, 1)

    p0 = latent.cdf(T * special.logit((0 - lo) / (hi - lo)))
    p1 = latent.sf(T * special.logit((1 - lo) / (hi - lo)))
    return Gate(p0, p1, interior, sample)


def correlated(
    temperature, probs=None, logits=None, correlation_matrix=None, scale_tril=None
) -> Law:
    a = special.logit(probs) if logits is None else np.asarray(logits, float)
    T = float(temperature)
    R = np.asarray(correlation_matrix if scale_tril is None else scale_tril @ scale_tril.T)
    copula = stats.multivariate_normal(np.zeros(len(a)), R)

    def log_prob(x):
        z = T * special.logit(x) - a
        # Phi^-1 of the logistic cdf, from the smaller tail.
        w = np.where(z < 0, 1, -1) * stats.norm.ppf(special.expit(-np.abs(z)))
        marginal = stats.logistic.logpdf(z) + np.log(T) - np.log(x) - np.log1p(-x)
        return copula.logpdf(w) - stats.norm.logpdf(w).sum(-1) + marginal.sum(-1)

    def sample(rng, n):
        w = copula.rvs(n, random_state=rng)
        return special.expit((a + stats.norm.logcdf(w) - stats.norm.logsf(w)) / T)

    return Continuous(cube, len(a), log_prob, sample, a / T, 26 / T)


def stochastic_times_smooth(probs=None, logits=None) -> Law:
    root = np.sqrt(special.expit(logit_of(probs, logits)))
    return Discrete([0.0, root], [1 - root, root])


def invertible_gaussian(temperature, loc, scale, delta=1.0) -> Law:
    loc, scale = np.asarray(loc, float), np.asarray(scale, float)
    T, d = float(temperature), float(delta)

    def log_prob(x):
        log_x = np.log(x)
        y = T * (log_x[:, :-1] - log_x[:, -1:] + np.log(d))
        return stats.norm.logpdf(y, loc, scale).sum(-1) + len(loc) * np.log(T) - log_x.sum(-1)

    def sample(rng, n):
        e = np.exp((loc + scale * rng.standard_normal((n, len(loc)))) / T)
        top = e / (e.sum(-1, keepdims=True) + d)
        return np.concatenate([top, 1 - top.sum(-1, keepdims=True)], -1)

    return Continuous(simplex, len(loc), log_prob, sample, loc / T - np.log(d), 9 * scale / T)


def logistic_normal(
    loc, scale=None, scale_tril=None, covariance_matrix=None, cov_factor=None, cov_diag=None
) -> Law:
    loc = np.asarray(loc, float)
    if scale is not None:
        cov = np.diag(np.asarray(scale) ** 2)
    elif scale_tril is not None:
        cov = scale_tril @ scale_tril.T
    elif cov_factor is not None:
        cov = cov_factor @ cov_factor.T + np.diag(cov_diag)
    else:
        cov = np.asarray(covariance_matrix)
    k = len(loc)
    D = np.concatenate([np.eye(k - 1), -np.ones((k - 1, 1))], 1)
    law = stats.multivariate_normal(D @ loc, D @ cov @ D.T)

    def log_prob(x):
        log_x = np.log(x)
        return law.logpdf(log_x @ D.T) - log_x.sum(-1)

    def sample(rng, n):
        y = rng.multivariate_normal(loc, cov, size=n, method="eigh")
        return special.softmax(y, -1)

    width = 9 * np.sqrt(np.diag(D @ cov @ D.T))
    return Continuous(simplex, k - 1, log_prob, sample, D @ loc, width)


def relaxed_top_k(perturbed, k, T) -> Array:
    """The relaxed k-hot vector of Xie and Ermon, 2019, algorithm 1; (..., n) to (..., n)."""
    w, total = np.array(perturbed, float), 0.0
    for _ in range(k):
        x = special.softmax(w / T, -1)
        total = total + x
        w = w + np.log1p(-np.minimum(x, 1 - 1e-16))
    return total


def soft_top_k(k, temperature, probs=None, logits=None, hard=False) -> Law:
    log_p, T = log_probs_of(probs, logits), float(temperature)
    n_classes = len(log_p)

    def sample(rng, n):
        return relaxed_top_k(log_p + gumbels(rng, n, n_classes), k, T)

    return Implicit((n_classes,), sample)


def hard_top_k(k, temperature, probs=None, logits=None, hard=True) -> Law:
    """Subsets without replacement: the chance of a set sums over its orders."""
    p = np.exp(log_probs_of(probs, logits))
    subsets = list(combinations(range(len(p)), k))

    def chance(subset, left=1.0):
        if not subset:
            return 1.0
        rest = [tuple(j for j in subset if j != i) for i in subset]
        return sum(p[i] / left * chance(r, left - p[i]) for i, r in zip(subset, rest, strict=True))

    values = np.array([[1.0 if i in s else 0.0 for i in range(len(p))] for s in subsets])
    return Discrete(values, [chance(s) for s in subsets])


def soft_values(values, temperature, probs=None, logits=None, hard=False) -> Law:
    weights = concrete(temperature, probs, logits)
    return Implicit((), lambda rng, n: weights.sample(rng, n) @ np.asarray(values, float))


def hard_values(values, temperature, probs=None, logits=None, hard=True) -> Law:
    return Discrete(values, np.exp(log_probs_of(probs, logits)))
