"""Draws of the guide turned into draws of the posterior, by the weights that they have.

With w = p / q, known up to a factor for each draw of the guide, the posterior's draws are those of
the guide resampled in proportion to w (Gelfand & Smith, 1992; the largest weights smoothed by a
Pareto tail: Vehtari et al., 2024, arXiv:1507.02646), or the states of a Markov chain that proposes
them one after the other and moves with probability min(1, w' / w) (Tierney, 1994). Where every site
of both programs lies in the same plates, each of their elements has a posterior of its own, and is
corrected by itself: the weight of all elements together is a product that soon says nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from relaxppl.common.arviz.draws import Groups
from relaxppl.common.arviz.labels import Dims
from relaxppl.common.arviz.pareto import smoothed
from relaxppl.common.arviz.tree import require

KINDS = ("psis", "mh")
PROPOSALS = 10
"""How many draws of the guide are made for each draw of the posterior."""
CHAINS = 4
LIMIT = 0.7
"""The k-hat above which weights cannot be trusted."""


class Picked(NamedTuple):
    """Which draws of the guide are kept."""

    draws: np.ndarray
    """(chains, draws, rows)."""
    accepted: np.ndarray | None
    """For a Markov chain, the share of its proposals that it took since the draw before, of the
    same shape."""


@dataclass(frozen=True)
class Rows:
    """The plates that every site of both programs lies in.

    :param plates: their names and sizes by dimension.
    """

    plates: Mapping[int, tuple[str, int]]

    @property
    def shape(self) -> tuple[int, ...]:
        """The sizes from the outermost dimension on, 1 where there is none of these plates."""
        rank = max((-dim for dim in self.plates), default=0)
        return tuple(self.plates[d][1] if d in self.plates else 1 for d in range(-rank, 0))

    def holds(self, at: Dims) -> bool:
        """Returns whether the variables of a site lie in all of the plates."""
        return all(at.plates.get(dim) == name for dim, (name, _) in self.plates.items())


def proposals(kind: str | None, num_draws: int) -> int:
    """Returns how many draws of the guide are made for so many of the posterior."""
    return num_draws if kind is None else PROPOSALS * CHAINS * -(-num_draws // CHAINS)


def corrected(
    groups: Groups,
    kind: str,
    num_draws: int,
    rows: Rows,
    sites: Mapping[str, Dims],
    rng: np.random.Generator,
) -> tuple[Groups, dict[str, Any]]:
    """Returns groups of draws of the posterior, and attributes that say how they were made.

    :param groups: draws of the guide, (1, proposals, ...); ``rows`` holds ``log_p`` and ``log_q``
        of each, (1, proposals, *rows.shape), and ``log_weight`` where it is not their difference.
    :param kind: "psis" or "mh".
    :param num_draws: how many draws of the posterior.
    :param rows: what is corrected by itself.
    :param sites: where each variable gets its dimensions from.
    :param rng: of the resampling.
    :raises ValueError: where the Pareto k-hat of the weights is above 0.7.
    """
    groups = dict(groups)
    log_p, log_q = (groups["rows"][name][0].astype(np.float64) for name in ("log_p", "log_q"))
    count = len(log_p)
    known = groups.pop("rows").get("log_weight")
    log_w = (log_p - log_q if known is None else known[0].astype(np.float64)).reshape(count, -1)
    smooth, k = smoothed(log_w)
    _check(kind, k, count, rows)
    if kind == "psis":
        picked = Picked(_resample(smooth, num_draws, rng)[None], None)
    else:
        picked = _chains(log_w, smooth, -(-num_draws // CHAINS), rng)
    made: Groups = {}
    left_out = []
    for group in ("posterior", "posterior_predictive", "log_likelihood"):
        for name, array in groups.pop(group, {}).items():
            at = sites.get(name, Dims())
            if rows.holds(at):
                made.setdefault(group, {})[name] = _pick(array[0], picked.draws, at, rows)
            else:
                left_out.append(name)
    stats = {
        name: np.take_along_axis(
            array.reshape(count, -1), picked.draws.reshape(-1, log_w.shape[1]), axis=0
        )
        .reshape(picked.draws.shape)
        .sum(-1)
        for name, array in (("log_p", log_p), ("log_q", log_q))
    }
    if picked.accepted is not None:
        stats["acceptance_rate"] = picked.accepted.mean(-1)
    share = np.exp(smooth - np.max(smooth, axis=0))
    count_for = share.sum(0) ** 2 / (share**2).sum(0)
    worst = float(np.max(k))
    attrs: dict[str, Any] = {
        "correct": kind,
        "guide_draws": count,
        "pareto_k": worst,
        "ess_weights": float(np.min(count_for)),
        "no_log_weight": f"the draws were corrected (correct={kind!r}); k-hat of the guide's was "
        f"{worst:.2f}",
    }
    if left_out:
        attrs["left_out"] = ", ".join(left_out)
    return {**groups, **made, "sample_stats": stats}, attrs


def note_mixing(data: Any) -> None:
    """Writes how well chains have mixed into the attributes of ``sample_stats``.

    They are the largest ``r_hat`` and the smallest ``ess_bulk`` of the posterior's variables, those
    that do not vary left out.

    :param data: ArviZ's object.
    """
    arviz, _ = require()
    posterior = data["posterior"]
    for name, find, worst in (("r_hat", arviz.rhat, np.nanmax), ("ess_bulk", arviz.ess, np.nanmin)):
        with np.errstate(divide="ignore", invalid="ignore"):  # Of what does not vary.
            found = find(posterior)
        each = [np.ravel(found[variable].values) for variable in posterior.data_vars]
        values = np.concatenate(each)
        if np.isfinite(values).any():
            data["sample_stats"].attrs[name] = float(worst(values[np.isfinite(values)]))


def _check(kind: str, k: np.ndarray, count: int, rows: Rows) -> None:
    if np.all(k <= LIMIT):
        return
    where = f"for all {count} draws of the guide"
    if rows.plates:
        names = ", ".join(repr(name) for name, _ in rows.plates.values())
        where = f"in {int(np.sum(k > LIMIT))} of {k.size} elements of the plates {names}"
    raise ValueError(
        f"to_arviz: correct={kind!r} cannot work here: the Pareto k-hat of the guide's weights is "
        f"{np.max(k):.2f} {where}, where {LIMIT} is the most at which weights can be trusted: "
        "parts of the posterior are hardly ever drawn. Train longer, take a guide that is wider or "
        "that depends on more, or leave correct out"
    )


def _resample(log_w: np.ndarray, num_draws: int, rng: np.random.Generator) -> np.ndarray:
    """Returns indices of draws, (num_draws, rows), in proportion to their weights.

    They are picked at equal distances along the summed weights, so that no draw whose share is
    below 1 / num_draws is picked twice, and every share is met up to one draw.
    """
    count, n = log_w.shape
    index = np.empty((num_draws, n), np.int64)
    for row in range(n):
        order = rng.permutation(count)
        ends = np.cumsum(np.exp(log_w[order, row] - np.max(log_w[:, row])))
        at = (np.arange(num_draws) + rng.uniform()) / num_draws * ends[-1]
        found = order[np.minimum(np.searchsorted(ends, at, side="right"), count - 1)]
        # Rows are independent, and so are draws: no order may be left in them.
        index[:, row] = rng.permutation(found)
    return index


def _chains(
    log_w: np.ndarray, smooth: np.ndarray, num_draws: int, rng: np.random.Generator
) -> Picked:
    """Returns the states of chains, each over proposals of its own.

    The first tenth of its proposals gives a chain its start, by their weights.
    """
    count, n = log_w.shape
    length = count // CHAINS
    warm, thin = num_draws, (length - num_draws) // num_draws
    own = length * np.arange(CHAINS)[:, None, None] + np.arange(length)[None, :, None]
    weights = log_w[own[..., 0]]
    start = smooth[own[:, :warm, 0]] + rng.gumbel(size=(CHAINS, warm, n))
    state = start.argmax(1)
    index = np.empty((CHAINS, num_draws, n), np.int64)
    accepted = np.zeros((CHAINS, num_draws, n))
    now = np.take_along_axis(weights, state[:, None], axis=1)[:, 0]
    for draw in range(num_draws):
        for step in range(thin):
            proposal = warm + draw * thin + step
            moves = np.log(rng.uniform(size=now.shape)) < weights[:, proposal] - now
            state = np.where(moves, proposal, state)
            now = np.where(moves, weights[:, proposal], now)
            accepted[:, draw] += moves / thin
        index[:, draw] = state
    return Picked(index + length * np.arange(CHAINS)[:, None, None], accepted)


def _pick(array: np.ndarray, index: np.ndarray, at: Dims, rows: Rows) -> np.ndarray:
    """Returns one variable at the picked draws, (chains, draws, ...).

    :param array: (proposals, *batch, *event).
    """
    chains, draws, _ = index.shape
    if not rows.plates:
        return array[index[..., 0]]
    shape = array.shape[1:]
    rank, shape_of_rows = min(at.batch_rank, len(shape)), rows.shape
    wide = index.reshape(chains * draws, *shape_of_rows)
    wide = wide.reshape(
        chains * draws,
        *(1,) * (rank - len(shape_of_rows)),
        *shape_of_rows,
        *(1,) * (len(shape) - rank),
    )
    wide = np.broadcast_to(wide, (chains * draws, *shape))
    return np.take_along_axis(array, wide, axis=0).reshape(chains, draws, *shape)
