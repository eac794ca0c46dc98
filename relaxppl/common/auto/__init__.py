"""What ``AutoDiscrete`` does on either host."""

from relaxppl.common.auto.dependent import Dependent
from relaxppl.common.auto.host import Host
from relaxppl.common.auto.posterior import (
    DRAWS,
    binary_quantiles,
    checked_levels,
    count_quantiles,
)
from relaxppl.common.auto.site import Site, start
from relaxppl.common.auto.structure import Real, real_of

__all__ = [
    "DRAWS",
    "Dependent",
    "Host",
    "Real",
    "Site",
    "binary_quantiles",
    "checked_levels",
    "count_quantiles",
    "real_of",
    "start",
]
