"""What `discrete_elbo` checks and leaves out on either host."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Integral
from typing import Any


class MarkedError(Exception):
    """The model has sites to be summed out, which the host's plain ELBO would draw."""


def check(importance_samples: int) -> None:
    """Refuses a number of draws that makes no bound.

    :raises ValueError: if it is no whole number of at least 1.
    """
    if not isinstance(importance_samples, Integral) or importance_samples < 1:
        raise ValueError(
            "discrete_elbo: importance_samples must be a whole number of at least 1, got "
            f"{importance_samples!r}"
        )


def without_estimator(infer: Mapping[str, Any] | None) -> dict[str, Any]:
    """Returns a site's infer dict without the estimator that it was trained with."""
    return {key: value for key, value in (infer or {}).items() if key != "estimator"}
