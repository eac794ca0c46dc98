"""What stops a law from having a bijection with the real line, and who asks a host for one."""

from __future__ import annotations

import inspect
from types import FrameType
from typing import Any

ATOMS = (
    "this law has atoms, values with a probability of their own, and what moves on the real line, "
    "a sampler or an autoguide, never meets one. Ways out: SVI with a guide whose site is of the "
    "same class; a discrete site, which TraceEnum_ELBO sums; or, of a value that is clipped, the "
    "continuous variable below it as the site (Normal, LogitRelaxedBernoulli) and the clipped "
    "value as a function of it"
)
NO_DENSITY = (
    "this law has no density, which a sampler or an autoguide needs: its log_prob says what to "
    "take instead"
)

WITH_ATOMS = ("boolean", "one_hot", "k_hot", "discrete_k_hot", "among_values", "ordering")
"""The keys of supports that no density on the real line describes."""


class LogRatio:
    """From K - 1 ratios u_i = y_i - y_K to the logarithms y = log x of a point on the simplex.

    Densities on the log-simplex are with respect to dx_1 ... dx_{K-1} / (x_1 ... x_K), which is
    du_1 ... du_{K-1}: the Jacobian's logarithm is zero.
    """

    def _inverse(self, y: Any) -> Any:
        return y[..., :-1] - y[..., -1:]

    def forward_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Returns the shape of y from that of u."""
        return (*shape[:-1], shape[-1] + 1)

    def inverse_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Returns the shape of u from that of y."""
        return (*shape[:-1], shape[-1] - 1)


def caller(module: str, function: str) -> FrameType | None:
    """Returns the innermost running frame of a function, or None where it is not running.

    :param module: the module that defines it.
    :param function: its name.
    """
    frame = inspect.currentframe()
    while frame is not None:
        if frame.f_code.co_name == function and frame.f_globals.get("__name__") == module:
            return frame
        frame = frame.f_back
    return None
