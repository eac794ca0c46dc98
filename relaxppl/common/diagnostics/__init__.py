"""What the gradient diagnostics of both hosts share: statistics, turns, tables, refusals.

A host gives samplers, which draw gradients and return their moments.
"""

from relaxppl.common.diagnostics.checks import check_draws, check_params, no_discrete_site
from relaxppl.common.diagnostics.comparison import Comparison, ranked
from relaxppl.common.diagnostics.functions import Host, compare_estimators, gradient_stats, named
from relaxppl.common.diagnostics.measuring import Draws, Moments, Sampler, measure, summary
from relaxppl.common.diagnostics.once import said_once
from relaxppl.common.diagnostics.stats import GradientStats

__all__ = [
    "Comparison",
    "Draws",
    "GradientStats",
    "Host",
    "Moments",
    "Sampler",
    "check_draws",
    "check_params",
    "compare_estimators",
    "gradient_stats",
    "measure",
    "named",
    "no_discrete_site",
    "ranked",
    "said_once",
    "summary",
]
