"""What a site of a trace is, and its values and log densities as ArviZ takes them."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from relaxppl import relaxing
from relaxppl.arviz.sites import Site
from relaxppl.numpyro.registry import HOST
from relaxppl.watching import Watched

Trace = dict[str, dict[str, Any]]


def is_auxiliary(site: dict[str, Any]) -> bool:
    """Returns whether a site of type "sample" is a factor or the like, and no variable."""
    return bool(site["infer"].get("is_auxiliary"))


def is_latent(site: dict[str, Any]) -> bool:
    """Returns whether a site is drawn."""
    return site["type"] == "sample" and not site["is_observed"]


def is_observed(site: dict[str, Any]) -> bool:
    """Returns whether a site is a variable with data."""
    return site["type"] == "sample" and site["is_observed"] and not is_auxiliary(site)


def is_discrete(site: dict[str, Any]) -> bool:
    """Returns whether a site's values are discrete."""
    fn = site["fn"]
    return relaxing.is_discrete(fn) or relaxing.is_exact(HOST, relaxing.unwrap(HOST, fn)[0])


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
    value, fn = jnp.asarray(site["value"]), site["fn"]
    if is_discrete(site) and (_holds_flags(fn) or relaxing.is_discrete(fn)):
        return whole(value, _holds_flags(fn))
    return value


def whole(value: jax.Array, flags: bool) -> jax.Array:
    """Returns discrete values as integers; zeros and ones in one byte each.

    :param value: whole numbers of any type.
    :param flags: whether they are zeros and ones.
    """
    if flags:
        return value.astype(jnp.int8)
    return value if jnp.issubdtype(value.dtype, jnp.integer) else value.astype(jnp.result_type(int))


def _holds_flags(fn: Any) -> bool:
    support = fn.support
    while hasattr(support, "base_constraint"):
        support = support.base_constraint
    name = type(support).__name__.lower()
    return "boolean" in name or "onehot" in name
