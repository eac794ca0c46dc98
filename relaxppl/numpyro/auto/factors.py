"""The factors of a model: which latent sites each of its log densities depends on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
from numpyro import handlers

from relaxppl.common.auto.graph import Factor
from relaxppl.numpyro.elbo.provenance import eval_provenance


def factors_of(
    model: Callable[..., Any], values: dict[str, Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> list[Factor]:
    """Returns a model's factors.

    :param model: not seeded.
    :param values: of its latent sites.
    :param args: positional arguments of the model.
    :param kwargs: its keyword arguments.
    """
    plates: dict[str, frozenset[str]] = {}

    def log_densities(**latents: jax.Array) -> dict[str, jax.Array]:
        held = handlers.substitute(handlers.seed(model, rng_seed=0), data=latents)
        found = {}
        for name, site in handlers.trace(held).get_trace(*args, **kwargs).items():
            if site["type"] == "sample":
                plates[name] = frozenset(frame.name for frame in site["cond_indep_stack"])
                log_prob = site["fn"].log_prob(site["value"])
                # Its scale and its mask may depend on sites too.
                found[name] = log_prob if site["scale"] is None else site["scale"] * log_prob
        return found

    with handlers.block():
        found = eval_provenance(log_densities, **values)
    return [Factor(names & values.keys(), plates[name], name) for name, names in found.items()]
