"""Reweighted wake-sleep: both programs fitted to draws of the guide, weighted by p / q.

Bornschein & Bengio, 2015 (arXiv:1406.2751); Le et al., 2019 (arXiv:1805.10469). With
w_k = p(x, z_k) / q(z_k), v = w / sum w and the draws held, a step goes up along

    sum_k v_k d log p(x, z_k)    (wake-theta, which is the gradient of log (1/K) sum_k w_k), and
    sum_k v_k d log q(z_k)       (wake-phi, which goes down KL(p(z | x) || q)),

the second times the insomnia, and the rest of it times the mean of

    d log q(z | x) at z, x drawn from the model    (sleep-phi, Hinton et al., 1995).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from relaxppl import ops
from relaxppl.estimators.base import Estimator
from relaxppl.estimators.laws import total
from relaxppl.estimators.multi_sample import Weighted
from relaxppl.estimators.site import Candidate
from relaxppl.ops import Array


@dataclass(frozen=True)
class ReweightedWakeSleep(Estimator):
    """Model and guide fitted to several draws of the guide, weighted by p / q: no score function.

    The gradient of the model is that of the bound of all draws together. That of the guide goes
    down KL(p || q), not KL(q || p), and is biased at finitely many draws. There are at least two,
    the ELBO's particles, which share the plates' subsamples; where every latent site lies in the
    same plates, the weights are those of each of their elements (:attr:`rows` says which).

    :param insomnia: how much of the guide's gradient is that of the weighted draws, from 0 to 1.
        The rest is that at as many draws of the model, data and all, which stand in for the
        arguments that the model observes as they are.

    Bornschein & Bengio, 2015 (arXiv:1406.2751); Le et al., 2019 (arXiv:1805.10469).
    """

    name = "reweighted_wake_sleep"
    default_particles = 5
    compares = True
    multi_sample = True
    holds_draws = True

    insomnia: float = 1.0

    def checks(self) -> dict[str, tuple[bool, str]]:
        return {"insomnia": (0.0 <= self.insomnia <= 1.0, "between 0 and 1")}

    @property
    def sleep(self) -> float:  # type: ignore[override]
        return 1.0 - self.insomnia

    @classmethod
    def for_elbo(
        cls, num_particles: int, options: dict[str, Any]
    ) -> tuple[ReweightedWakeSleep, int]:
        if num_particles < 2:
            raise ValueError(
                f"ReweightedWakeSleep_ELBO needs num_particles >= 2, got {num_particles}"
            )
        return cls(**options), num_particles

    def check(self, site: Candidate, num_particles: int) -> None:
        if num_particles < 2:
            raise ValueError(
                f"site {site.name!r}: {self.name} compares draws and needs num_particles >= 2, got "
                f"{num_particles}"
            )

    def objective(self, draws: Weighted, axis: int) -> Array:
        weights = ops.softmax(draws.log_p - draws.log_q, axis=axis)
        value = draws.log_p + self.insomnia * draws.log_q
        return total(ops.stop_gradient(weights) * value)
