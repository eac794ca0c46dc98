"""Moments and entropy of x = softmax((log p + g) / T) with g standard Gumbel, by quadrature.

With w_j = exp(z_j / T) and z_j = log p_j + g_j, x_i = w_i / sum_j w_j, and 1 / (sum w) and
1 / (sum w)^2 are integrals over t of exp(-t sum w), under which the expectation factorises over the
classes. So everything is an integral over s = log t of products of

    M_j = E exp(-t w_j),  A_j = E[t w_j exp(-t w_j)],  B_j = E[(t w_j)^2 exp(-t w_j)],

each an expectation over one exponential variable. At small T they turn into steps. Integrating by
parts in that variable swaps T for 1 / T in them, so that they stay smooth: with e^v exponential and
tau = min(T, 1 / T), M_j = E exp(-exp(y)) and y = s + l_j - tau v, where l_j = log p_j / max(T, 1).
"""

from __future__ import annotations

import math

import numpy as np

from relaxppl import ops
from relaxppl.ops import Array
from relaxppl.ops.constants import EULER


def digamma_of(n: int) -> float:
    """Returns the digamma function at a positive integer."""
    return -EULER + sum(1.0 / k for k in range(1, n))


# The trapezoidal rule converges like exp(-pi^2 / step) here; what is beyond the ends is below 1e-9.
_STEP = 0.35
_OUTER = np.arange(-26.0, 6.6, _STEP)
_INNER = np.arange(-24.0, 3.6, 0.3)
_INNER_WEIGHT = np.exp(_INNER - np.exp(_INNER))
# M_j is 1 far to the left only if the weights sum to 1: K factors multiply what they lack.
_INNER_WEIGHT /= _INNER_WEIGHT.sum()


class _Factors:
    """The factors at the nodes of s, (n, *batch, K), and what integrates over s."""

    def __init__(self, log_p: Array, temperature: Array) -> None:
        self.cold = ops.clip(temperature, None, 1.0)
        hot = ops.clip(temperature, 1.0, None)
        location = log_p / hot
        self.shift = ops.logsumexp(location, axis=-1, keepdims=True)
        rank = len(location.shape)
        self.nodes = ops.like(log_p, _OUTER).reshape((-1,) + (1,) * rank)
        v = ops.like(log_p, _INNER).reshape((1, -1) + (1,) * rank)
        weight = ops.like(log_p, _INNER_WEIGHT).reshape(v.shape)
        y = self.nodes[:, None] + (location - self.shift) - self.cold / hot * v
        # Far out exp(-exp(y)) has long been zero.
        t = ops.exp(ops.clip(y, None, 9.0))
        decay = weight * ops.exp(-t)
        self.m = ops.sum(decay, axis=1)
        self.a = ops.sum(t * decay, axis=1)
        self.b = ops.sum(t * t * decay, axis=1)
        log_m = ops.log(ops.clip(self.m, ops.tiny(self.m), None))
        total = ops.sum(log_m, axis=-1, keepdims=True)
        self.product, self.others = ops.exp(total), ops.exp(total - log_m)


def simplex_moments(log_p: Array, temperature: Array) -> tuple[Array, Array]:
    """Returns E[x_i] and E[x_i^2], (*batch, K).

    :param log_p: normalised log probabilities, (*batch, K).
    :param temperature: (*batch, 1), or what broadcasts to it.
    """
    f = _Factors(log_p, temperature)
    second = (1.0 - f.cold) * f.a + f.cold * f.b
    return (
        _STEP * ops.sum(f.a * f.others, axis=0),
        _STEP * ops.sum(second * f.others, axis=0),
    )


def mean_logsumexp(log_p: Array, temperature: Array) -> Array:
    """Returns E logsumexp((log p + g) / T), (*batch).

    :param log_p: normalised log probabilities, (*batch, K).
    :param temperature: (*batch, 1), or what broadcasts to it.
    """
    f = _Factors(log_p, temperature)
    step = ops.exp(-ops.exp(f.nodes))
    integral = _STEP * ops.sum(step - f.product, axis=0)
    return ((EULER * (1.0 - f.cold) + f.shift + integral) / f.cold)[..., 0]


def simplex_entropy(log_p: Array, temperature: Array) -> Array:
    """Returns the entropy of x with respect to dx_1 ... dx_{K-1}, (*batch).

    :param log_p: normalised log probabilities, (*batch, K).
    :param temperature: (*batch).
    """
    size = ops.size(log_p)
    # E sum_i z_i, of K Gumbel variables.
    sum_z = ops.sum(log_p, axis=-1) + size * EULER
    mean = mean_logsumexp(log_p, temperature[..., None])
    log_scale = math.lgamma(size) + (size - 1) * ops.log(temperature)
    return size * (EULER + digamma_of(size) - mean) + sum_z / temperature - log_scale
