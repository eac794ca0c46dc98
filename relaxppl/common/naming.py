"""The names of the parameters that the library adds to those of a program."""

from __future__ import annotations

STEP = "relaxppl_step"
"""The parameter that holds the count of steps."""

TEMPERATURE = ".estimator.temperature"
"""How the name of a temperature that an ELBO learns ends, after its site."""

_LEARNED = (".estimator.", ".baseline.")


def is_learned(name: str) -> bool:
    """Returns whether a parameter is one that an ELBO learns for itself."""
    return any(mark in name for mark in _LEARNED)
