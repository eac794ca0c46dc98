"""The refusals of bad input."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from relaxppl.common.naming import is_learned


def check_draws(num_draws: Any) -> None:
    """Checks a number of draws.

    :raises ValueError: unless it is an int of at least 2, which a variance needs.
    """
    whole = isinstance(num_draws, (int, np.integer)) and not isinstance(num_draws, bool)
    if not whole or num_draws < 2:
        raise ValueError(
            f"num_draws must be an int of at least 2, as a variance needs, got {num_draws!r}"
        )


def check_params(
    given: Mapping[str, tuple[int, ...]], needed: Mapping[str, tuple[int, ...]]
) -> None:
    """Checks the shapes of parameters against what model and guide declare.

    :param given: shapes by name, of what the caller gave.
    :param needed: shapes by name, of what a run of the guide and the model declares.
    :raises ValueError: naming parameters that are missing, unknown or of another shape.
    """
    own = [n for n in (*given, *needed) if is_learned(n)]
    missing = sorted(needed.keys() - given.keys() - set(own))
    unknown = sorted(given.keys() - needed.keys() - set(own))
    if missing or unknown:
        parts = []
        if missing:
            parts.append(f"{', '.join(map(repr, missing))} of the model or the guide is missing")
        if unknown:
            parts.append(f"neither has a parameter {', '.join(map(repr, unknown))}")
        raise ValueError(
            f"params does not fit this model and guide: {'; '.join(parts)}. Give what SVI trained "
            f"with these two; they declare: {', '.join(sorted(needed.keys() - set(own))) or 'none'}"
        )
    for name, shape in needed.items():
        if name in given and tuple(given[name]) != tuple(shape):
            raise ValueError(
                f"params does not fit this model and guide: {name!r} has shape "
                f"{tuple(given[name])}, and they declare it with {tuple(shape)}"
            )


def no_discrete_site(guide: Any) -> ValueError:
    """Returns the refusal of a guide without discrete latent sites."""
    name = getattr(guide, "__name__", type(guide).__name__)
    return ValueError(
        f"the guide {name} has no discrete latent site: its gradient needs none of these "
        "estimators, and Trace_ELBO is right for it. If its sites are relaxed, give the "
        "discrete guide; if it leaves the discrete sites out, AutoDiscrete(model) covers them"
    )
