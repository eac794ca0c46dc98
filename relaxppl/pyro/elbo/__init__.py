"""Unbiased ELBOs for discrete guides: pass one to ``pyro.infer.SVI`` as its loss."""

from __future__ import annotations

from typing import Any

from relaxppl.pyro.elbo.engine import UnbiasedELBO

__all__ = ["REBAR_ELBO", "RELAX_ELBO", "RLOO_ELBO", "DisARM_ELBO", "ScoreFunction_ELBO"]


class ScoreFunction_ELBO(UnbiasedELBO):
    estimator = "score"


class RLOO_ELBO(UnbiasedELBO):
    estimator = "rloo"

    def __init__(self, num_particles: int = 2, *args: Any, **kwargs: Any) -> None:
        super().__init__(num_particles, *args, **kwargs)


class DisARM_ELBO(UnbiasedELBO):
    estimator = "disarm"


class REBAR_ELBO(UnbiasedELBO):
    estimator = "rebar"


class RELAX_ELBO(UnbiasedELBO):
    estimator = "relax"
