"""Numbers that several relaxations need."""

from __future__ import annotations

import math

NEVER = -1e30
"""The log probability that stands for zero where -inf would make a gradient NaN."""
LOG_2PI = math.log(2.0 * math.pi)
EULER = 0.5772156649015329
