"""What kind of variable a discrete site is, and how many values it has."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from pyro.distributions import constraints

from relaxppl.common.sites import Sites
from relaxppl.ops import as_numpy
from relaxppl.pyro.elbo.laws import LAWS
from relaxppl.pyro.finite_count import FiniteCount
from relaxppl.pyro.truncate import truncate


def _is_count(support: Any) -> bool:
    # torch makes this constraint an instance of a private class.
    return isinstance(support, type(constraints.nonnegative_integer)) and support.lower_bound == 0


def _values_of(distribution: Any) -> np.ndarray:
    return as_numpy(distribution.enumerate_support(expand=False))


SITES = Sites(
    laws=LAWS,
    finite_count=FiniteCount,
    interval=constraints.integer_interval,
    is_count=_is_count,
    truncate=truncate,
    counts=lambda size: torch.arange(size, dtype=torch.get_default_dtype()),
    values_of=_values_of,
)
