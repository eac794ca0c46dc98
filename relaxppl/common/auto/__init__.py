"""What ``AutoDiscrete`` does on either host."""

from relaxppl.common.auto.conditional import Conditional
from relaxppl.common.auto.dependent import Dependent, Real
from relaxppl.common.auto.errors import uncovered
from relaxppl.common.auto.mean_field import (
    Site,
    binary_quantiles,
    checked_levels,
    count_quantiles,
    start,
)
from relaxppl.common.auto.network import network_of
from relaxppl.common.auto.series import Series

__all__ = [
    "Conditional",
    "Dependent",
    "Real",
    "Series",
    "Site",
    "binary_quantiles",
    "checked_levels",
    "count_quantiles",
    "network_of",
    "start",
    "uncovered",
]
