"""Bounds of the log evidence at growing numbers of draws, from the weights of a guide's draws."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from numbers import Integral

import numpy as np

from relaxppl.common.arviz.correct import Rows
from relaxppl.common.arviz.draws import Groups
from relaxppl.common.diagnostics.text import table

NAME = "log_evidence"


@dataclass(frozen=True)
class LogEvidence:
    """What :func:`log_evidence` returns: E log (1/K sum_k p / q), a lower bound for every K.

    It grows with K to the log evidence; where it has stopped growing, within its errors, it is the
    log evidence. Burda et al., 2016 (arXiv:1509.00519).
    """

    importance_samples: tuple[int, ...]
    """K."""
    bound: np.ndarray
    """For each K."""
    error: np.ndarray
    """The standard error of each bound over the draws."""
    plates: tuple[str, ...]
    """The plates that every site lies in: their elements have bounds of their own, added up."""
    by_row: np.ndarray
    """The bound at the largest K of each element of these plates; () where there are none."""

    @property
    def value(self) -> float:
        """The bound at the largest K."""
        return float(self.bound[-1])

    def __str__(self) -> str:
        rows = [
            [str(k), f"{bound:.3f}", f"{error:.2g}"]
            for k, bound, error in zip(self.importance_samples, self.bound, self.error, strict=True)
        ]
        each = f", summed over {' and '.join(self.plates)}" if self.plates else ""
        head = f"log evidence, bounds from below by K draws{each}"
        return "\n".join([head, *table(["K", "bound", "standard error"], rows)])


def check(num_draws: int, importance_samples: Sequence[int]) -> tuple[int, ...]:
    """Returns the numbers of draws of each bound, in order.

    :raises ValueError: if there is none, one is no whole number of at least 1, or there are too few
        draws for two values of the largest bound.
    """
    found = sorted(set(importance_samples))
    if not found or not all(isinstance(k, Integral) and k >= 1 for k in found):
        raise ValueError(
            f"{NAME}: importance_samples must be whole numbers of at least 1, got "
            f"{tuple(importance_samples)}"
        )
    if num_draws < 2 * found[-1]:
        raise ValueError(
            f"{NAME}: a standard error needs two values of the bound at {found[-1]} draws: "
            f"num_draws must be at least {2 * found[-1]}, got {num_draws}"
        )
    return tuple(found)


def log_evidence(
    draw: Callable[[], Groups], importance_samples: tuple[int, ...], rows: Rows
) -> LogEvidence:
    """Returns lower bounds of log p(data) by growing numbers of draws, for any trained guide.

    With K draws the bound is E log (1/K sum_k p / q): at K = 1 the ELBO of the discrete program,
    and with K to infinity the log evidence. Where every site of both programs lies in the same
    plates, each of their elements has a bound of its own, and these are added up; else the bound is
    one for all.

    :param program: as of :func:`to_arviz`.
    :param num_draws: how many draws of the guide, in all.
    :param parallel: as of :func:`to_arviz`.
    :param kwargs: the keyword arguments of model and guide.
    :param draw: returns the log densities of draws by model and by guide, of each row.
    :param importance_samples: K, of each bound; the largest at most half of num_draws.
    :param rows: the plates whose elements have bounds of their own.
    :returns: the bounds with their standard errors, and by element of the plates.
    :raises TypeError: if the program is given in none of its forms.
    :raises ValueError: if there are too few draws, or they have no weights; the message says why.

    Burda et al., 2016 (arXiv:1509.00519).
    """
    drawn = draw()["rows"]
    log_p, log_q = drawn["log_p"][0], drawn["log_q"][0]
    log_w = (log_p.astype(np.float64) - log_q).reshape(len(log_p), -1)
    bounds, errors = [], []
    for k in importance_samples:
        count = len(log_w) // k
        groups = log_w[: count * k].reshape(count, k, -1)
        largest = np.max(groups, axis=1, keepdims=True)
        largest = np.where(np.isfinite(largest), largest, 0.0)
        with np.errstate(divide="ignore"):
            each = np.log(np.exp(groups - largest).mean(1)) + largest[:, 0]
        bounds.append(each.mean(0))
        errors.append(np.sqrt(np.sum(each.var(0, ddof=1)) / count))
    plates = tuple(name for name, _ in rows.plates.values())
    return LogEvidence(
        importance_samples,
        np.array([bound.sum() for bound in bounds]),
        np.array(errors),
        plates,
        bounds[-1].reshape(rows.shape),
    )
