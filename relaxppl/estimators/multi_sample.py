"""The bound of K draws together, log (1/K) sum_k p(x, z_k) / q(z_k), and its rows.

Where every term that depends on a latent site lies in the same plates, each of their elements is a
row with a bound of its own, and the scale of a plate's subsample multiplies it from outside the
logarithm. Anything latent outside of all plates makes it one bound for the whole program. Burda et
al., 2016 (arXiv:1509.00519).
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, NamedTuple, Protocol

from relaxppl import ops
from relaxppl.estimators.laws import total
from relaxppl.estimators.program import Program, Term, reduce_to
from relaxppl.estimators.site import Frame, Frames
from relaxppl.ops import Array


class Plated(Program, Protocol):
    """A program that knows its plates."""

    def plate_scale(self, frame: Frame) -> float:
        """Returns what terms are multiplied by for the subsample of a plate that they lie in."""


class Rows(NamedTuple):
    """What has a bound of its own: each element of these plates."""

    frames: Frames
    scale: float
    """That of their subsamples."""

    @property
    def plates(self) -> tuple[str, ...]:
        """Returns the plates' names, the outermost first."""
        return tuple(f.name for f in sorted(self.frames, key=lambda frame: frame.dim))


class Weighted(NamedTuple):
    """One draw by its rows, (*rows), or all draws, along one more axis.

    The scales of the rows' plates are taken out.
    """

    log_p: Array
    """The model's terms."""
    log_q: Array
    """The guide's, with the gradient of log q."""
    score: Array
    """A sum with the gradient of the log masses of the discrete sites, as they were drawn."""
    rest: Array
    """The terms that no latent site reaches, scaled, ()."""


def rows_of(program: Plated) -> Rows:
    """Returns the plates that all terms lie in which depend on a latent site."""
    reached = [term.frames for term in program.terms if term.latent]
    frames = reached[0].intersection(*reached[1:]) if reached else frozenset()
    return Rows(frames, math.prod(program.plate_scale(frame) for frame in frames))


def weighted(program: Plated, rows: Rows) -> Weighted:
    """Returns one draw of a program.

    :param program: after its first run, which did not stop log q of its discrete sites.
    :param rows: as :func:`rows_of` gives it.
    """
    like = program.terms[0].value

    def by_row(terms: list[Term]) -> Array:
        return reduce_to(terms, rows.frames, like)

    latent = [term for term in program.terms if term.latent]
    log_p = by_row([term for term in latent if not term.guide]) / rows.scale
    log_q = -by_row([term for term in latent if term.guide]) / rows.scale
    scores = [
        Term(name, site.score_term(), site.frames, frozenset())
        for name, site in program.sites.items()
    ]
    rest = [replace(t, value=total(t.value)) for t in program.terms if not t.latent]
    score = by_row(scores)
    log_p, log_q, score = ops.broadcast_arrays(log_p, log_q, score)
    return Weighted(log_p, log_q, score, reduce_to(rest, frozenset(), like))


def bound(log_w: Array, axis: int) -> Array:
    """Returns log (1/K) sum_k w_k, without the axis.

    :param log_w: log p - log q of K draws along an axis.
    :param axis: that axis.
    """
    return ops.logsumexp(log_w, axis=axis) - math.log(log_w.shape[axis])


def value_of(draws: Weighted, rows: Rows, axis: int) -> Array:
    """Returns the bound of all draws together, ()."""
    each = bound(draws.log_p - draws.log_q, axis)
    return rows.scale * total(each) + _mean(draws, axis)


def objective_of(estimator: Any, draws: Weighted, rows: Rows, axis: int) -> Array:
    """Returns a sum with the gradient that an estimator wants to go up along, ()."""
    return rows.scale * estimator.objective(draws, axis) + _mean(draws, axis)


def _mean(draws: Weighted, axis: int) -> Array:
    return total(draws.rest) / float(draws.log_p.shape[axis])


def others(log_w: Array, axis: int) -> tuple[Array, Array]:
    """Returns the weights of the other draws, for each of K >= 2, and whose they are.

    :returns: log weights (K, K, ...), where the second axis counts the others and 0 stands for the
        draw itself; and whether an element is the draw itself, (K, K, 1, ...).
    """
    log_w = ops.moveaxis(log_w, axis, 0)
    count = log_w.shape[0]
    one = ops.zeros_like(log_w.reshape((count, -1))[:, 0])
    index = ops.cumsum(one + 1.0, axis=0)
    own = (index[:, None] == index[None, :]).reshape((count, count) + (1,) * (log_w.ndim - 1))
    return ops.where(own, ops.zeros_like(log_w)[None], log_w[None]), own
