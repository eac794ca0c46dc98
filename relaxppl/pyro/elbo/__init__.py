"""Unbiased ELBOs for guides with discrete sites: one changed argument of stock SVI."""

from relaxppl.pyro.elbo.classes import (
    ARMS_ELBO,
    REBAR_ELBO,
    RELAX_ELBO,
    RLOO_ELBO,
    VIMCO_ELBO,
    Coupled_ELBO,
    DisARM_ELBO,
    LocalExpectation_ELBO,
    ReweightedWakeSleep_ELBO,
    ScoreFunction_ELBO,
)

__all__ = [
    "ARMS_ELBO",
    "REBAR_ELBO",
    "RELAX_ELBO",
    "RLOO_ELBO",
    "VIMCO_ELBO",
    "Coupled_ELBO",
    "DisARM_ELBO",
    "LocalExpectation_ELBO",
    "ReweightedWakeSleep_ELBO",
    "ScoreFunction_ELBO",
]
