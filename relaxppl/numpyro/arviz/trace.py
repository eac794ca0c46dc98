"""A site's values and log densities as ArviZ takes them, where that is this host's own."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from relaxppl.common.arviz import trace as common
from relaxppl.numpyro.registry import HOST


def is_observed(site: dict[str, Any]) -> bool:
    """Returns whether a site is a variable with data."""
    return site["type"] == "sample" and site["is_observed"] and not common.is_auxiliary(site)


def is_deterministic(site: dict[str, Any]) -> bool:
    """Returns whether a site is a deterministic one."""
    return site["type"] == "deterministic"


def frames(site: dict[str, Any]) -> list[Any]:
    """Returns the plates that have a dimension of the site."""
    return site["cond_indep_stack"]


def log_prob(site: dict[str, Any]) -> jax.Array:
    """Returns the log density of a site's value, scaled, (*batch shape)."""
    unscaled = log_likelihood(site)
    return unscaled if site["scale"] is None else site["scale"] * unscaled


def log_likelihood(site: dict[str, Any]) -> jax.Array:
    """Returns the log density of every observation, not scaled, (*batch shape)."""
    if site["intermediates"]:
        return site["fn"].log_prob(site["value"], site["intermediates"])
    return site["fn"].log_prob(site["value"])


array = jnp.asarray


def value_of(site: dict[str, Any]) -> jax.Array:
    """Returns a site's value, of a discrete site as integers."""
    return common.value_of(HOST, site, array(site["value"]), whole)


def whole(value: jax.Array, flags: bool) -> jax.Array:
    """Returns whole numbers as integers, flags in one byte each."""
    if flags:
        return value.astype(jnp.int8)
    return value if jnp.issubdtype(value.dtype, jnp.integer) else value.astype(jnp.result_type(int))
