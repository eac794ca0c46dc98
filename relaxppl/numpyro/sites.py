"""What kind of variable a discrete site is, and how many values it has."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpyro.distributions import constraints

from relaxppl.common.sites import Sites
from relaxppl.numpyro.elbo.laws import LAWS
from relaxppl.numpyro.finite_count import FiniteCount
from relaxppl.numpyro.truncate import truncate


def _values_of(distribution: Any) -> np.ndarray:
    with jax.ensure_compile_time_eval():
        return np.asarray(distribution.enumerate_support(expand=False))


SITES = Sites(
    laws=LAWS,
    finite_count=FiniteCount,
    interval=constraints.integer_interval,
    is_count=lambda support: support is constraints.nonnegative_integer,
    truncate=truncate,
    counts=jnp.arange,
    values_of=_values_of,
)
