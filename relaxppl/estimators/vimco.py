"""VIMCO: the bound of K draws, each draw's baseline the bound that the others would make.

Mnih & Rezende, 2016 (arXiv:1602.06725). With w_k = p(x, z_k) / q(z_k), v = w / sum w and
L = log (1/K) sum_k w_k, the gradient is

    sum_k (L - B_k) d log q(z_k) + sum_k v_k d log w_k,

the first for what is drawn without a derivative, the second along reparameterised draws. B_k is L
with w_k replaced by a mean of the others, and does not see z_k.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from relaxppl import ops
from relaxppl.estimators import multi_sample
from relaxppl.estimators.base import Estimator
from relaxppl.estimators.laws import total
from relaxppl.estimators.multi_sample import Weighted
from relaxppl.estimators.site import Candidate
from relaxppl.ops import Array


@dataclass(frozen=True)
class VIMCO(Estimator):
    """The bound of several draws together, log of their mean weight, and its unbiased gradient.

    There are at least two draws, the ELBO's particles, which share the plates' subsamples. Where
    every latent site lies in the same plates, each of their elements has a bound of its own; else
    the bound is one for the whole program (:attr:`rows` says which).

    :param baseline: "geometric" or "arithmetic": the mean of the other draws' weights that stands
        for a draw's own in its baseline.

    Mnih & Rezende, 2016 (arXiv:1602.06725).
    """

    name = "vimco"
    default_particles = 5
    compares = True
    multi_sample = True

    baseline: str = "geometric"

    def checks(self) -> dict[str, tuple[bool, str]]:
        kinds = ("geometric", "arithmetic")
        return {"baseline": (self.baseline in kinds, "'geometric' or 'arithmetic'")}

    @classmethod
    def for_elbo(cls, num_particles: int, options: dict[str, Any]) -> tuple[VIMCO, int]:
        if num_particles < 2:
            raise ValueError(f"VIMCO_ELBO needs num_particles >= 2, got {num_particles}")
        return cls(**options), num_particles

    def check(self, site: Candidate, num_particles: int) -> None:
        if num_particles < 2:
            raise ValueError(
                f"site {site.name!r}: vimco compares draws and needs num_particles >= 2, got "
                f"{num_particles}"
            )

    def objective(self, draws: Weighted, axis: int) -> Array:
        log_w = draws.log_p - draws.log_q
        whole = multi_sample.bound(log_w, axis)
        known = ops.stop_gradient(log_w)
        advantage = multi_sample.bound(known, axis)[None] - baselines(known, axis, self.baseline)
        score = ops.moveaxis(draws.score, axis, 0)
        return total(whole) + total(ops.stop_gradient(advantage) * score)


def baselines(log_w: Array, axis: int, kind: str) -> Array:
    """Returns B_k, (K, ...), the draws moved to the front.

    :param log_w: log weights of K >= 2 draws along an axis.
    :param axis: that axis.
    :param kind: "geometric" or "arithmetic".
    """
    rest, own = multi_sample.others(log_w, axis)
    count = rest.shape[0]
    if kind == "geometric":
        mean = ops.sum(rest, axis=1, keepdims=True) / (count - 1.0)
        found = multi_sample.bound(ops.where(own, mean, rest), 1)
    else:
        without = ops.where(own, ops.full_like(rest, -math.inf), rest)
        found = ops.logsumexp(without, axis=1) - math.log(count - 1.0)
    # Where all other weights are zero there is nothing to compare with.
    return ops.where(found > -math.inf, found, ops.zeros_like(found))
