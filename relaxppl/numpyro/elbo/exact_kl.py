"""Pairs of a guide's and a model's site whose KL divergence can stand for their two terms."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from numpyro.distributions.kl import kl_divergence

from relaxppl.numpyro.elbo.laws import base_of, unmasked
from relaxppl.numpyro.elbo.structure import Structure

_APPROXIMATE = ((dist.Kumaraswamy, dist.Beta),)
"""Registered rules that truncate a series."""


def candidates(structure: Structure) -> frozenset[str]:
    """Returns the sites for which the mean-field condition holds.

    The law of such a site in the model does not depend on the site itself, nor on what the guide
    draws from it: the KL given what lies upstream is then the mean of log q - log p.
    """
    return frozenset(
        name
        for name in structure.guide_laws
        if name in structure.model_laws
        and name not in structure.model_laws[name]
        and name not in structure.guide_laws[name]
    )


def kl(guide_site: dict[str, Any], model_site: dict[str, Any]) -> jax.Array | None:
    """Returns KL(q || p) of one site, scaled and masked as its terms are, or None.

    It is None where no exact rule is registered, or where the two terms are scaled or masked
    differently, so that they do not make up a KL.
    """
    q, p = guide_site["fn"], model_site["fn"]
    if guide_site["is_observed"] or model_site["is_observed"]:
        return None
    if guide_site["cond_indep_stack"] != model_site["cond_indep_stack"]:
        return None
    if not _same(guide_site["scale"], model_site["scale"]) or not _same_masks(q, p):
        return None
    pair = base_of(q), base_of(p)
    if any(isinstance(pair[0], a) and isinstance(pair[1], b) for a, b in _APPROXIMATE):
        return None
    shape = jnp.broadcast_shapes(q.batch_shape, p.batch_shape)
    masks = _masks(q)
    try:
        value = kl_divergence(unmasked(q), unmasked(p))
    except NotImplementedError:
        return None
    if jnp.shape(value) != shape or tuple(q.batch_shape) != shape:
        return None
    for mask in masks:
        value = jnp.where(mask, value, 0.0)
    scale = guide_site["scale"]
    return value if scale is None else scale * value


def _masks(fn: Any) -> list[Any]:
    masks = []
    while isinstance(fn, (dist.Independent, dist.MaskedDistribution, dist.ExpandedDistribution)):
        if isinstance(fn, dist.MaskedDistribution):
            masks.append(fn._mask)
        elif isinstance(fn, dist.Independent) and _masks(fn.base_dist):
            # A mask inside the event does not factor out of the KL of the event.
            masks.append(None)
        fn = fn.base_dist
    return masks


def _same_masks(q: Any, p: Any) -> bool:
    mine, other = _masks(q), _masks(p)
    if any(mask is None for mask in mine + other) or len(mine) != len(other):
        return False
    return all(_same(a, b) for a, b in zip(mine, other, strict=True))


def _same(a: Any, b: Any) -> bool:
    if a is b:
        return True
    plain = (bool, int, float, np.ndarray, np.generic)
    if isinstance(a, plain) and isinstance(b, plain):
        return np.shape(a) == np.shape(b) and bool(np.all(a == b))
    if isinstance(a, jax.core.Tracer) or isinstance(b, jax.core.Tracer) or a is None or b is None:
        return False
    return np.shape(a) == np.shape(b) and bool(np.all(np.asarray(a) == np.asarray(b)))
