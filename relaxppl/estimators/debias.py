"""The weight w of the unbiased part of a gradient: a number, a schedule, or learned.

With s a gradient that is biased and of little variance, and s + d the unbiased one,

    h(w) = s + w d

is biased by (1 - w) E d. "auto" learns the w at which the squared error of a step is least: that of
the sum of h over the rows of a site's plates, where noise averages out and bias adds up. Rows i and
j have draws of their own, so that d_i d_j shows the bias without the noise. With D the sum of d
over rows, the derivative of half the squared error is

    (w - 1) (|D|^2 - sum |d_i|^2) + sum (s_i + w d_i) d_i,

on average over draws, but for sum (s_i + d_i) E d_i, which no single draw tells from noise.
"""

from __future__ import annotations

from numbers import Real
from typing import Any

from relaxppl import ops
from relaxppl.estimators.laws import total
from relaxppl.estimators.program import Learned
from relaxppl.estimators.site import Site
from relaxppl.ops import Array
from relaxppl.schedules import Schedule

AUTO = "auto"
ALLOWED = f"a number or a schedule in [0, 1], or {AUTO!r}"
INITIAL = 0.0


def is_weight(debias: Any) -> bool:
    """Returns whether an option is a weight."""
    if isinstance(debias, Schedule):
        low, high = debias.range or (0.0, 1.0)
    elif isinstance(debias, Real):
        low = high = float(debias)
    else:
        return bool(debias == AUTO)
    return low >= 0.0 and high <= 1.0


def key(name: str) -> str:
    """Returns the name of a site's learned weight among the parameters."""
    return f"{name}.estimator.debias"


def weight(debias: Any, name: str, learned: Learned, like: Array) -> Any:
    """Returns a site's weight in this step, a float or an array."""
    if isinstance(debias, Schedule):
        return debias(learned.steps())
    if debias == AUTO:
        return ops.clip(learned_weight(name, learned, like), 0.0, 1.0)
    return float(debias)


def learned_weight(name: str, learned: Learned, like: Array) -> Array:
    """Returns a site's learned weight before it is clipped to [0, 1], ()."""
    return learned.read(key(name), INITIAL, like)


def gradient_in_weight(site: Site, weight: Array, biased: Array, unbiased: Array) -> Array:
    """Returns the gradient of a step's squared error in the weight, ().

    :param weight: the weight, not clipped.
    :param biased: s, of the logits' shape.
    :param unbiased: s + d, likewise.
    :raises ValueError: if the site has no two rows.
    """
    rank = len(unbiased.shape) - site.batch_rank
    rows = tuple(f.dim - rank for f in site.frames if -f.dim <= site.batch_rank)
    if all(unbiased.shape[axis] == 1 for axis in rows):
        raise ValueError(
            f"site {site.name!r}: debias={AUTO!r} tells bias from noise by comparing the rows of a "
            "plate, and this site has no two of them: give debias as a number or a schedule"
        )
    apart = unbiased - biased
    own = total(apart * apart)
    bias = total(ops.sum(apart, axis=rows) ** 2) - own
    return 2.0 * ((weight - 1.0) * bias + total(biased * apart) + weight * own)
