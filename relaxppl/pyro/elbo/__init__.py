"""Unbiased ELBOs for guides with discrete sites: one changed argument of stock SVI."""

from relaxppl.pyro.elbo.classes import (
    REBAR_ELBO,
    RELAX_ELBO,
    RLOO_ELBO,
    DisARM_ELBO,
    ScoreFunction_ELBO,
)

__all__ = ["REBAR_ELBO", "RELAX_ELBO", "RLOO_ELBO", "DisARM_ELBO", "ScoreFunction_ELBO"]
