"""Tests of whether a guide's draws and the value that made the data could change places.

If the guide is the posterior of a data set that was drawn from the model, the latent values that
made the data and L draws of the guide are L + 1 draws of one law, in no order. So the rank of the
true value among the draws is uniform (Talts et al., 2018, arXiv:1804.06788), and given that T of
the L + 1 values of a bit are one, the true one is with probability T / (L + 1), exactly, whatever
L. Data sets are independent of each other, elements of one are not: what is averaged over elements
is tested over data sets, and single elements by Bonferroni's inequality.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

LOOKS = ("shift", "spread", "element")
_EXACT = 10**8
"""How many products an exact law of counts may take."""


@dataclass(frozen=True)
class Check:
    """What is found of one site.

    :param p: by test: "shift" of the mean over elements, "spread" of the ranks or of the
        probabilities, and "element", the smallest of single elements times their number.
    :param size: of each of them: how far the mean rank lies above 1/2, how far the ranks' variance
        above 1/12; for probabilities how far they lie below the frequencies, on average, and by
        how much this grows with the probability; of "element" the index of the worst.
    """

    p: dict[str, float]
    size: dict[str, float]

    @property
    def p_value(self) -> float:
        """The chance, at most, that a right guide looks as bad in any of the three tests."""
        return min(1.0, len(self.p) * min(self.p.values()))

    def worst(self, bar: float) -> str:
        """Returns the first test below a bar, as the mean over elements says more than one."""
        below = [look for look in self.p if len(self.p) * self.p[look] < bar]
        return below[0] if below else min(self.p, key=self.p.__getitem__)


def of_ranks(u: np.ndarray) -> Check:
    """Returns whether ranks are uniform.

    :param u: randomised ranks between 0 and 1, (data sets, elements).
    """
    shift, spread = (u - 0.5).mean(1), ((u - 0.5) ** 2 - 1 / 12).mean(1)
    # An even number of degrees of freedom has a tail in closed form.
    bins = 2 * max(1, min(10, len(u) // 20)) + 1
    index = np.minimum((u * bins).astype(int), bins - 1)
    counts = np.stack([(index == b).sum(0) for b in range(bins)])
    expected = len(u) / bins
    square = ((counts - expected) ** 2 / expected).sum(0)
    worst = int(np.argmax(square))
    return Check(
        {
            "shift": _p_of_mean(shift),
            "spread": _p_of_mean(spread),
            "element": min(1.0, u.shape[1] * _chi_square_tail(square[worst], bins - 1)),
        },
        {"shift": float(shift.mean()), "spread": float(spread.mean()), "element": worst},
    )


def of_flags(truth: np.ndarray, ones: np.ndarray, num_draws: int) -> Check:
    """Returns whether the frequencies of true ones are those that draws of the guide have.

    :param truth: zeros and ones, (data sets, elements).
    :param ones: how many draws of the guide are one, of the same shape.
    :param num_draws: of how many.
    """
    p = (truth + ones) / (num_draws + 1)
    residual = (truth - p) * (num_draws + 1) / num_draws
    # Any function of p may weigh the residuals: given it they have mean zero.
    centred = p - p.mean()
    shift, slope = residual.mean(1), (residual * centred).mean(1)
    each = _p_of_counts(truth.sum(0), p)
    worst = int(np.argmin(each))
    variance = float((centred**2).mean())
    return Check(
        {
            "shift": _p_of_mean(shift),
            "spread": _p_of_mean(slope),
            "element": min(1.0, p.shape[1] * float(each[worst])),
        },
        {
            "shift": float(shift.mean()),
            "spread": float(slope.mean()) / variance if variance else 0.0,
            "element": worst,
        },
    )


def _p_of_mean(x: np.ndarray) -> float:
    """Returns the two-sided p-value of the hypothesis that the mean is zero, by Student's t."""
    deviation = float(x.std(ddof=1))
    if deviation <= 1e-12 * max(1.0, float(np.abs(x).max())):
        return 1.0 if abs(float(x.mean())) < 1e-12 else 0.0
    t, df = float(x.mean()) / (deviation / math.sqrt(len(x))), len(x) - 1
    # Wallace, 1959: a normal variable that exceeds as often; within 1 % at these sizes.
    z = (8 * df + 1) / (8 * df + 3) * math.sqrt(df * math.log1p(t * t / df))
    return math.erfc(z / math.sqrt(2.0))


def _chi_square_tail(x: float, df: int) -> float:
    """Returns the chance of a larger value; the degrees of freedom are even."""
    half = 0.5 * float(x)
    return math.exp(-half) * math.fsum(half**j / math.factorial(j) for j in range(df // 2))


def _p_of_counts(count: np.ndarray, p: np.ndarray) -> np.ndarray:
    """Returns two-sided p-values of sums of independent bits with known probabilities.

    :param count: the sums, (elements,).
    :param p: (data sets, elements).
    """
    n, elements = p.shape
    if n * n * elements > _EXACT:
        deviation = np.sqrt(np.maximum((p * (1 - p)).sum(0), 1e-12))
        z = np.maximum(np.abs(count - p.sum(0)) - 0.5, 0.0) / deviation
        return np.array([math.erfc(each / math.sqrt(2.0)) for each in z])
    mass = np.zeros((n + 1, elements))
    mass[0] = 1.0
    for row in p:
        mass[1:] = mass[1:] * (1 - row) + mass[:-1] * row
        mass[0] *= 1 - row
    at = np.arange(n + 1)[:, None]
    low = (mass * (at <= count)).sum(0)
    high = (mass * (at >= count)).sum(0)
    return np.minimum(1.0, 2 * np.minimum(low, high))
