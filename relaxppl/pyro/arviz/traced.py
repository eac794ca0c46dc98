"""What a site of a trace is, and its values and log densities as ArviZ takes them."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from pyro.distributions.util import scale_and_mask

from relaxppl import relaxing
from relaxppl.arviz.sites import Site
from relaxppl.pyro.registry import HOST
from relaxppl.watching import Watched

Nodes = dict[str, dict[str, Any]]


def is_auxiliary(site: dict[str, Any]) -> bool:
    """Returns whether a site of type "sample" is a factor or the like, and no variable."""
    return bool(site["infer"].get("is_auxiliary"))


def is_deterministic(site: dict[str, Any]) -> bool:
    """Returns whether a site is a deterministic one, which this host calls a sample."""
    return bool(site["type"] == "sample" and site["infer"].get("_deterministic"))


def is_latent(site: dict[str, Any]) -> bool:
    """Returns whether a site is drawn."""
    return site["type"] == "sample" and not site["is_observed"]


def is_observed(site: dict[str, Any]) -> bool:
    """Returns whether a site is a variable with data."""
    observed = site["type"] == "sample" and site["is_observed"]
    return observed and not (is_auxiliary(site) or is_deterministic(site))


def is_discrete(site: dict[str, Any]) -> bool:
    """Returns whether a site's values are discrete."""
    fn = site["fn"]
    return relaxing.is_discrete(fn) or relaxing.is_exact(HOST, relaxing.unwrap(HOST, fn)[0])


def is_held_by_module(site: dict[str, Any]) -> bool:
    """Returns whether a site of type "param" is a module's own parameter."""
    return any(isinstance(arg, torch.nn.Parameter) for arg in site["args"])


def written_relaxed(site: dict[str, Any], relaxed: dict[str, Watched]) -> Any:
    """Returns the relaxed distribution that a site is written with, or None.

    :param site: a message of type "sample".
    :param relaxed: the sites that ``relax`` relaxed.
    """
    fn, _ = relaxing.unwrap(HOST, site["fn"])
    ours = isinstance(fn, HOST.relaxed) and site["name"] not in relaxed
    return fn if ours and not fn.law.discrete and not is_discrete(site) else None


def dims_of(site: dict[str, Any]) -> Site:
    """Returns what names the dimensions of a site."""
    frames = [frame for frame in site["cond_indep_stack"] if frame.vectorized]
    return Site(len(site["fn"].batch_shape), {frame.dim: frame.name for frame in frames})


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


def deterministic_values(nodes: Nodes) -> dict[str, np.ndarray]:
    """Returns the values of the deterministic sites of a trace, by name."""
    return {n: as_numpy(s["value"]) for n, s in nodes.items() if is_deterministic(s)}


def value_of(site: dict[str, Any]) -> np.ndarray:
    """Returns a site's value, of a discrete site as integers."""
    value, fn = as_numpy(torch.as_tensor(site["value"])), site["fn"]
    if is_discrete(site) and (_holds_flags(fn) or relaxing.is_discrete(fn)):
        return whole(value, _holds_flags(fn))
    return value


def whole(value: np.ndarray, flags: bool) -> np.ndarray:
    """Returns discrete values as integers; zeros and ones in one byte each.

    :param value: whole numbers of any type.
    :param flags: whether they are zeros and ones.
    """
    if flags:
        return value.astype(np.int8)
    return value if value.dtype.kind in "iu" else value.astype(np.int64)


def as_numpy(value: torch.Tensor) -> np.ndarray:
    """Returns a tensor's values."""
    return value.detach().cpu().numpy()


def _holds_flags(fn: Any) -> bool:
    support = fn.support
    while hasattr(support, "base_constraint"):
        support = support.base_constraint
    name = type(support).__name__.lower()
    return "boolean" in name or "onehot" in name
