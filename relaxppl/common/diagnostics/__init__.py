"""What the gradient diagnostics of both hosts share: statistics, turns, tables, refusals.

A host gives samplers, which draw gradients and return their moments.
"""

from relaxppl.common.diagnostics.checks import check_draws, check_params, no_discrete_site
from relaxppl.common.diagnostics.comparison import Comparison, ranked
from relaxppl.common.diagnostics.measuring import (
    Draws,
    Moments,
    Sampler,
    measure,
    named,
    summary,
    with_exact,
)
from relaxppl.common.diagnostics.stats import GradientStats

__all__ = [
    "Comparison",
    "Draws",
    "GradientStats",
    "Moments",
    "Sampler",
    "check_draws",
    "check_params",
    "measure",
    "named",
    "no_discrete_site",
    "ranked",
    "summary",
    "with_exact",
]
