"""A site's values and log densities as ArviZ takes them, where that is this host's own."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from pyro.distributions.util import scale_and_mask
from pyro.infer.inspect import site_is_deterministic

from relaxppl.common.arviz import trace as common
from relaxppl.ops import as_numpy
from relaxppl.pyro.registry import HOST


def is_observed(site: dict[str, Any]) -> bool:
    """Returns whether a site is a variable with data."""
    observed = site["type"] == "sample" and site["is_observed"]
    return observed and not (common.is_auxiliary(site) or site_is_deterministic(site))


def is_held_by_module(site: dict[str, Any]) -> bool:
    """Returns whether a site of type "param" is a module's own parameter."""
    return any(isinstance(arg, torch.nn.Parameter) for arg in site["args"])


is_deterministic = site_is_deterministic


def frames(site: dict[str, Any]) -> list[Any]:
    """Returns the plates that have a dimension of the site."""
    return [frame for frame in site["cond_indep_stack"] if frame.vectorized]


def log_prob(site: dict[str, Any]) -> torch.Tensor:
    """Returns the log density of a site's value, scaled and masked, (*batch shape)."""
    return scale_and_mask(_unscaled(site), site["scale"], site["mask"])


def log_likelihood(site: dict[str, Any]) -> torch.Tensor:
    """Returns the log density of every observation, masked and not scaled, (*batch shape)."""
    return scale_and_mask(_unscaled(site), 1.0, site["mask"])


def _unscaled(site: dict[str, Any]) -> torch.Tensor:
    try:
        return site["fn"].log_prob(site["value"])
    except ValueError as error:
        raise ValueError(f"to_arviz: at the site {site['name']!r}: {error}") from error


def value_of(site: dict[str, Any]) -> np.ndarray:
    """Returns a site's value, of a discrete site as integers."""
    return common.value_of(HOST, site, array(site["value"]), whole)


def whole(value: np.ndarray, flags: bool) -> np.ndarray:
    """Returns whole numbers as integers, flags in one byte each."""
    if flags:
        return value.astype(np.int8)
    return value if value.dtype.kind in "iu" else value.astype(np.int64)


def array(value: Any) -> np.ndarray:
    """Returns a value, a tensor or a number, as an array."""
    return as_numpy(torch.as_tensor(value))
