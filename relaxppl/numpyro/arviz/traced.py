"""A site's values and log densities as ArviZ takes them, where that is this host's own."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from relaxppl.arviz import traced
from relaxppl.arviz.sites import Site
from relaxppl.numpyro.registry import HOST

Trace = dict[str, dict[str, Any]]


def is_observed(site: dict[str, Any]) -> bool:
    """Returns whether a site is a variable with data."""
    return site["type"] == "sample" and site["is_observed"] and not traced.is_auxiliary(site)


def dims_of(site: dict[str, Any]) -> Site:
    """Returns what names the dimensions of a site."""
    frames = site["cond_indep_stack"]
    return Site(len(site["fn"].batch_shape), {frame.dim: frame.name for frame in frames})


def log_prob(site: dict[str, Any]) -> jax.Array:
    """Returns the log density of a site's value, scaled, (*batch shape)."""
    unscaled = log_likelihood(site)
    return unscaled if site["scale"] is None else site["scale"] * unscaled


def log_likelihood(site: dict[str, Any]) -> jax.Array:
    """Returns the log density of every observation, not scaled, (*batch shape)."""
    if site["intermediates"]:
        return site["fn"].log_prob(site["value"], site["intermediates"])
    return site["fn"].log_prob(site["value"])


def deterministic_values(trace: Trace) -> dict[str, jax.Array]:
    """Returns the values of the deterministic sites of a trace, by name."""
    return {n: jnp.asarray(s["value"]) for n, s in trace.items() if s["type"] == "deterministic"}


def value_of(site: dict[str, Any]) -> jax.Array:
    """Returns a site's value, of a discrete site as integers."""
    return traced.value_of(HOST, site, jnp.asarray(site["value"]), whole)


def whole(value: jax.Array, flags: bool) -> jax.Array:
    """Returns discrete values as integers; zeros and ones in one byte each.

    :param value: whole numbers of any type.
    :param flags: whether they are zeros and ones.
    """
    if flags:
        return value.astype(jnp.int8)
    return value if jnp.issubdtype(value.dtype, jnp.integer) else value.astype(jnp.result_type(int))
