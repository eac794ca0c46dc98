"""A model whose marked sites hold all their values at once, and the terms that they make."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from numpyro.primitives import Messenger

from relaxppl.estimators.site import Frame, Frames
from relaxppl.estimators.summed_out import (
    Factor,
    Group,
    Variable,
    all_values,
    contract,
    groups,
    is_marked,
)
from relaxppl.numpyro.elbo.laws import unmasked


def frames_of(site: Mapping[str, Any]) -> Frames:
    """Returns the plates of a site."""
    return frozenset(Frame(frame.name, frame.dim) for frame in site["cond_indep_stack"])


class SummedOut(Messenger):
    """Gives the marked sites of a model all their values, each along a dimension of its own.

    :param fn: the model.
    :param guide: the names of the guide's sites.
    :param first: the rightmost dimension that is free for values.
    :param found: the sites by name, to which it adds those that it has not met before.
    """

    def __init__(
        self, fn: Any, guide: Collection[str], first: int, found: dict[str, Variable]
    ) -> None:
        super().__init__(fn)
        self.guide, self.first, self.found = guide, first, found

    def process_message(self, msg: dict[str, Any]) -> None:
        if not is_marked(msg, self.guide) or msg["value"] is not None:
            return
        msg["value"] = jnp.asarray(all_values(msg, frames_of(msg), self.first, self.found))
        dim = self.found[msg["name"]].dim
        # As the host's enumeration leaves it, for its checks of shapes.
        msg["infer"] = {**msg["infer"], "name_to_dim": {msg["name"]: dim}}


def first_free(sites: Collection[dict[str, Any]]) -> int:
    """Returns the rightmost dimension that is left of all batches and plates."""
    used = [len(site["fn"].batch_shape) for site in sites if site["type"] == "sample"]
    used += [-frame.dim for site in sites if site["type"] == "sample" for frame in frames_of(site)]
    return -1 - max(used, default=0)


def groups_of(trace: Mapping[str, Any], found: Mapping[str, Variable]) -> list[Group]:
    """Returns the sites of a model's trace that make terms together."""
    return groups(shapes_of(trace), found.values()) if found else []


def shapes_of(trace: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """Returns the batch shapes of a trace's sites."""
    return {n: _batch_shape(s) for n, s in trace.items() if s["type"] == "sample"}


def _batch_shape(site: dict[str, Any]) -> tuple[int, ...]:
    fn, shape = site["fn"], jnp.shape(site["value"])
    return jnp.broadcast_shapes(fn.batch_shape, shape[: len(shape) - fn.event_dim])


def term_of(
    group: Group, trace: Mapping[str, Any], log_prob: Callable[[dict[str, Any]], jax.Array]
) -> jax.Array:
    """Returns the term of the bound that a group's sites make.

    :param trace: of the model.
    :param log_prob: gives the log density of a site, masked but not scaled.
    """
    names = {variable.name for variable in group.variables}
    factors = []
    for name in group.sites:
        site = trace[name]
        # What a mask leaves out of a summed site is the evidence: its own masses sum to one.
        value = unmasked(site["fn"]).log_prob(site["value"]) if name in names else log_prob(site)
        factors.append(Factor(name, value, frames_of(site), site["scale"]))
    return contract(group, factors)
