"""Kullback-Leibler divergences that are exact: the mathematics of the rules both hosts register.

Every function takes the parameters of p, then those of q, and returns KL(p | q). The shapes
broadcast. docs/kl_rules.md says which law each is a divergence of.
"""

from __future__ import annotations

import math

import numpy as np

from relaxppl import ops
from relaxppl.ops import Array


def bernoulli(logits_p: Array, logits_q: Array) -> Array:
    """Returns KL(Bernoulli(s(logits_p)) | Bernoulli(s(logits_q))), (*batch).

    :param logits_p: log odds, (*batch).
    :param logits_q: log odds, (*batch).
    """
    # Not p (a - b) + softplus(b) - softplus(a): at a = 50, b = 51 that is all rounding.
    one = ops.log_sigmoid(logits_p) - ops.log_sigmoid(logits_q)
    zero = ops.log_sigmoid(-logits_p) - ops.log_sigmoid(-logits_q)
    return ops.sigmoid(logits_p) * one + ops.sigmoid(-logits_p) * zero


def one_hot_categorical(logits_p: Array, logits_q: Array) -> Array:
    """Returns the KL of two categorical laws over K classes, (*batch).

    :param logits_p: log probabilities up to a constant, (*batch, K).
    :param logits_q: log probabilities up to a constant, (*batch, K).
    """
    log_p, log_q = ops.log_softmax(logits_p, axis=-1), ops.log_softmax(logits_q, axis=-1)
    p = ops.exp(log_p)
    # A class that is impossible under p costs nothing, also where log p is -inf.
    possible = p > 0
    ratio = ops.where(possible, log_p, 0.0) - ops.where(possible, log_q, 0.0)
    return ops.sum(p * ratio, axis=-1)


# 2 B_2n / (2n)!, B_2n the Bernoulli numbers: d coth(d / 2) = 2 + sum over n >= 1 of these d^2n.
_BERNOULLI_NUMBERS = (
    *(1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6, -3617 / 510),
    *(43867 / 798, -174611 / 330, 854513 / 138, -236364091 / 2730),
)
_SERIES = tuple(2.0 * b / math.factorial(2 * n) for n, b in enumerate(_BERNOULLI_NUMBERS, start=1))


def relaxed_bernoulli(location_p: Array, location_q: Array) -> Array:
    """Returns the KL of two relaxed Bernoulli laws of equal temperature, whatever it is, (*batch).

    It is that of two logistic laws of one scale, d coth(d / 2) - 2 with d the difference of their
    locations.

    :param location_p: location of the latent logistic variable (the logits), (*batch).
    :param location_q: the same of q, (*batch).
    """
    d = location_p - location_q
    near = ops.abs(d) < 1.5
    square = ops.where(near, d, 0.0) ** 2
    series = ops.zeros_like(square)
    for coefficient in reversed(_SERIES):
        series = square * (coefficient + series)
    far = ops.where(near, 2.0, ops.abs(d))
    # |d| coth(|d| / 2) = |d| + 2 |d| / (exp |d| - 1), without the overflow of exp |d|.
    tail = 2.0 * far * ops.exp(-far) / -ops.expm1(-far)
    return ops.where(near, series, far - 2.0 + tail)


def _nodes(step: float, end: float) -> tuple[np.ndarray, np.ndarray]:
    """Returns nodes e^s and weights ds of a trapezoid rule in x, where s = 2 sinh(x)."""
    x = step * np.arange(-round(end / step), round(end / step) + 1)
    return np.exp(2.0 * np.sinh(x)), 2.0 * step * np.cosh(x)


# The error of the rule, against one of 2400 nodes over K = 3 ... 1000 and logits up to 200, is
# 4e-10 for float64 and 2e-7 for float32, which is its rounding. The ends are where the integrand is
# below the resolution of the dtype and where e^(4 s) does not overflow in it.
_NODES = {"double": _nodes(0.1, 3.5), "single": _nodes(0.2, 3.0)}


def concrete(logits_p: Array, logits_q: Array) -> Array:
    """Returns the KL of two Concrete laws on the simplex of equal temperature, (*batch).

    The temperature cancels. With E_i independent exponential variables and r_i = q_i / p_i,

        KL = K E[log(sum_i r_i E_i / sum_i E_i)] - sum_i log r_i,

    and log(A / B) is the integral of (exp(-t B) - exp(-t A)) / t, whose mean factorises over the
    classes. With t = e^s and the log r_i shifted to have mean zero,

        KL = K * integral over s of [(1 + e^s)^-K - prod_i 1 / (1 + r_i e^s)],

    which is never negative and has no cancellation near p = q. Its window grows with the largest
    r_i, so where that is large the first term is replaced by 1 / (1 + r_max e^s), whose
    difference from the first has the integral log r_max - H_(K-1).

    :param logits_p: log probabilities up to a constant, (*batch, K).
    :param logits_q: log probabilities up to a constant, (*batch, K).
    """
    log_r = logits_q - logits_p
    size = ops.size(log_r)
    if size == 1:
        return ops.zeros_like(log_r[..., 0])
    if size == 2:
        return relaxed_bernoulli(log_r[..., 0], log_r[..., 1])
    # Flat: compilers are several times slower over a batch of many dimensions.
    shape, log_r = log_r.shape[:-1], log_r.reshape((-1, size))
    nodes, weights = _NODES["double" if ops.eps(log_r) < 1e-12 else "single"]
    t = ops.like(log_r, nodes)[:, None]
    # The divergence does not depend on where the window lies, so no gradient goes through it.
    top = ops.stop_gradient(ops.max(log_r, axis=-1))
    log_r = log_r - top[:, None]
    centre = ops.stop_gradient(0.5 * ops.logsumexp(log_r, axis=-1))
    product = _log_product(ops.exp(log_r - centre[:, None]), t)
    height = -ops.sum(log_r, axis=-1) / size
    low = height < 3.0
    # Where height is large the unused branch may be infinite.
    inner = ops.where(low, height, 0.0)
    power = ops.where(low, ops.full_like(top, size), 1.0)
    reference = power * ops.log1p(t * ops.exp(-inner - centre))
    integrand = ops.exp(-reference) * -ops.expm1(reference - product)
    integral = ops.sum(ops.like(log_r, weights)[:, None] * integrand, axis=0)
    harmonic = math.fsum(1.0 / k for k in range(1, size))
    return (size * ops.where(low, integral, height - harmonic + integral)).reshape(shape)


def _log_product(r: Array, t: Array) -> Array:
    """Returns sum_i log(1 + r_i t), (nodes, batch).

    Four classes share one logarithm: their product is 1 + e_1 t + e_2 t^2 + ..., with e_j the
    elementary symmetric polynomials of their r, none of which is negative.

    :param r: (batch, K).
    :param t: (nodes, 1).
    """
    groups = -(-ops.size(r) // 4)
    width = -(-ops.size(r) // groups)
    r = ops.moveaxis(r, -1, 0)
    missing = groups * width - r.shape[0]
    if missing:
        r = ops.concatenate([r, ops.zeros_like(r[:missing])], axis=0)
    count = r.shape[1]
    r = r.reshape((width, groups, count))
    e = [r[0]]
    for i in range(1, width):
        e = [e[0] + r[i], *(a + b * r[i] for a, b in zip(e[1:], e, strict=False)), e[-1] * r[i]]
    # A product of matrices, whose gradient is one too: a compiler would work out the integrand
    # again for the gradient of each coefficient of a sum of powers.
    powers = ops.concatenate([t ** (j + 1) for j in range(width)], axis=-1)
    excess = ops.matmul(powers, ops.stack(e, axis=0).reshape((width, groups * count)))
    return ops.sum(ops.log1p(excess).reshape((t.shape[0], groups, count)), axis=1)


def normal(loc_p: Array, scale_p: Array, loc_q: Array, scale_q: Array) -> Array:
    """Returns the KL of two normal laws, (*batch).

    :param loc_p: mean, (*batch).
    :param scale_p: standard deviation, (*batch).
    :param loc_q: mean, (*batch).
    :param scale_q: standard deviation, (*batch).
    """
    log_ratio = ops.log(scale_p) - ops.log(scale_q)
    distance = (loc_p - loc_q) / scale_q
    return 0.5 * (ops.expm1(2.0 * log_ratio) - 2.0 * log_ratio + distance**2)


def multivariate_normal(loc_p: Array, tril_p: Array, loc_q: Array, tril_q: Array) -> Array:
    """Returns the KL of two multivariate normal laws, (*batch).

    :param loc_p: mean, (*batch, D).
    :param tril_p: lower Cholesky factor of the covariance, (*batch, D, D).
    :param loc_q: mean, (*batch, D).
    :param tril_q: lower Cholesky factor of the covariance, (*batch, D, D).
    """
    size = ops.size(tril_p)
    whitened = ops.solve_triangular(tril_q, loc_p - loc_q)
    columns = ops.solve_triangular(tril_q[..., None, :, :], ops.moveaxis(tril_p, -1, -2))
    trace = ops.sum(ops.sum(columns**2, axis=-1), axis=-1)
    log_p, log_q = ops.log(ops.diagonal(tril_p)), ops.log(ops.diagonal(tril_q))
    half_log_det = ops.sum(log_q, axis=-1) - ops.sum(log_p, axis=-1)
    return 0.5 * (trace - size + ops.sum(whitened**2, axis=-1)) + half_log_det


def invertible_gaussian(
    loc_p: Array,
    scale_p: Array,
    temperature_p: Array,
    delta_p: Array,
    loc_q: Array,
    scale_q: Array,
    temperature_q: Array,
    delta_q: Array,
) -> Array:
    """Returns the KL of two invertible Gaussian laws over K classes, (*batch).

    log(z_k / z_K) = y_k / T - log(delta) is one bijection for every law of this family, and under
    each it is normal; so the divergence is exact also at unequal temperatures and deltas.

    :param loc_p: mean of y, (*batch, K - 1).
    :param scale_p: standard deviation of y, (*batch, K - 1).
    :param temperature_p: (*batch).
    :param delta_p: (*batch).
    :param loc_q: the same of q.
    :param scale_q: the same of q.
    :param temperature_q: the same of q.
    :param delta_q: the same of q.
    """
    t_p, t_q = temperature_p[..., None], temperature_q[..., None]
    shift_p, shift_q = ops.log(delta_p)[..., None], ops.log(delta_q)[..., None]
    each = normal(loc_p / t_p - shift_p, scale_p / t_p, loc_q / t_q - shift_q, scale_q / t_q)
    return ops.sum(each, axis=-1)


def logistic_normal(loc_p: Array, scale_p: Array, loc_q: Array, scale_q: Array) -> Array:
    """Returns the KL of two softmaxes of independent normal variables, (*batch).

    softmax(y) determines the differences of the coordinates of y and nothing else: it is the KL of
    two normal laws in K - 1 dimensions. With w = 1 / scale_q^2 the matrix D'(D S_q D')^-1 D of the
    differences D is diag(w) - w w' / sum w, and log|D S D'| is log|S| + log(1'S^-1 1).

    :param loc_p: mean of y, (*batch, K).
    :param scale_p: standard deviation of y, (*batch, K).
    :param loc_q: the same of q.
    :param scale_q: the same of q.
    """
    size = ops.size(loc_p + loc_q + scale_p + scale_q)
    w, w_p = 1.0 / scale_q**2, 1.0 / scale_p**2
    total, total_p = ops.sum(w, axis=-1), ops.sum(w_p, axis=-1)
    trace = ops.sum(w / w_p, axis=-1) - ops.sum(w**2 / w_p, axis=-1) / total
    difference = loc_p - loc_q
    mean = ops.sum(w * difference, axis=-1) / total
    distance = ops.sum(w * (difference - mean[..., None]) ** 2, axis=-1)
    log_det = ops.sum(ops.log(w_p) - ops.log(w), axis=-1) + ops.log(total) - ops.log(total_p)
    return 0.5 * (trace - (size - 1) + distance + log_det)


def logistic_normal_of_covariances(
    loc_p: Array, covariance_p: Array, loc_q: Array, covariance_q: Array
) -> Array:
    """Returns the KL of two softmaxes of multivariate normal variables, (*batch).

    :param loc_p: mean of y, (*batch, K).
    :param covariance_p: covariance of y, (*batch, K, K).
    :param loc_q: the same of q.
    :param covariance_q: the same of q.
    """
    return multivariate_normal(
        loc_p[..., :-1] - loc_p[..., -1:],
        ops.cholesky(_of_differences(covariance_p)),
        loc_q[..., :-1] - loc_q[..., -1:],
        ops.cholesky(_of_differences(covariance_q)),
    )


def _of_differences(covariance: Array) -> Array:
    """Returns the covariance of y_1 - y_K, ..., y_(K-1) - y_K."""
    inner, corner = covariance[..., :-1, :-1], covariance[..., -1:, -1:]
    return inner - covariance[..., :-1, -1:] - covariance[..., -1:, :-1] + corner
