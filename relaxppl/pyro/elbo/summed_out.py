"""A model whose marked sites hold all their values at once, and the terms that they make."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from pyro.distributions.util import scale_and_mask
from pyro.poutine.messenger import Messenger
from pyro.poutine.util import site_is_subsample

from relaxppl.estimators.site import Frame, Frames
from relaxppl.estimators.summed_out import (
    Factor,
    Group,
    Variable,
    all_values,
    check_shapes,
    contract,
    groups,
    is_marked,
)
from relaxppl.pyro.elbo.laws import unmasked


def frames_of(node: Any) -> Frames:
    """Returns the plates of a site."""
    return frozenset(Frame(f.name, f.dim) for f in node["cond_indep_stack"] if f.vectorized)


@dataclass
class Summed:
    """What is summed out of a model, as far as its runs have shown."""

    first: int = 0
    """The rightmost dimension that is free for values; 0 while that is not known."""
    found: dict[str, Variable] = field(default_factory=dict)
    drawn: dict[str, tuple[int, ...]] = field(default_factory=dict)
    """The batch shapes of the model's sites where nothing is summed out."""

    def make_room(self, model: Any, guide: Any) -> None:
        """Finds the first free dimension, left of all batches and plates.

        :param model: a trace of a run that sums nothing out.
        :param guide: the guide's.
        """
        self.drawn = shapes_of(model)
        nodes = [*_samples(model), *_samples(guide)]
        used = [len(node["fn"].batch_shape) for node in nodes]
        used += [-frame.dim for node in nodes for frame in frames_of(node)]
        self.first = -1 - max(used, default=0)
        self.found.clear()

    def check(self, model: Any) -> None:
        """Refuses a model that does not hand on the values' dimensions where they are."""
        check_shapes(self.drawn, shapes_of(model), self.found.values(), self.first)

    def has_room(self, trace: Any) -> bool:
        """Returns whether no plate of a run reaches the dimensions of the values."""
        return all(frame.dim > self.first for node in _samples(trace) for frame in frames_of(node))


class SummedOut(Messenger):
    """Gives the marked sites of a model all their values, each along a dimension of its own.

    :param guide: the names of the guide's sites.
    :param summed: the sites met before, to which it adds; where it has no room, it draws them.
    """

    def __init__(self, guide: Collection[str], summed: Summed) -> None:
        super().__init__()
        self.guide, self.summed = guide, summed
        self.drawn: set[str] = set()
        """The marked sites that were drawn."""

    def _pyro_sample(self, msg: Any) -> None:
        if not is_marked(msg, self.guide) or msg["done"] or msg["value"] is not None:
            return
        summed = self.summed
        if not summed.first:
            self.drawn.add(msg["name"])
            return
        msg["value"] = all_values(msg, frames_of(msg), summed.first, summed.found)
        msg["done"] = True
        dim = summed.found[msg["name"]].dim
        # As the host's enumeration leaves it, for its checks of shapes.
        msg["infer"] = {**msg["infer"], "_enumerate_dim": dim}


def groups_of(trace: Any, found: Mapping[str, Variable]) -> list[Group]:
    """Returns the sites of a model's trace that make terms together."""
    return groups(shapes_of(trace), found.values()) if found else []


def shapes_of(trace: Any) -> dict[str, tuple[int, ...]]:
    """Returns the batch shapes of a trace's sites."""
    return {node["name"]: _batch_shape(node) for node in _samples(trace)}


def _samples(trace: Any) -> list[Any]:
    nodes = trace.nodes.values()
    return [node for node in nodes if node["type"] == "sample" and not site_is_subsample(node)]


def _batch_shape(node: Any) -> tuple[int, ...]:
    fn, shape = node["fn"], tuple(node["value"].shape)
    shapes = [fn.batch_shape, shape[: len(shape) - fn.event_dim]]
    if isinstance(node["mask"], torch.Tensor):
        shapes.append(node["mask"].shape)
    return tuple(torch.broadcast_shapes(*shapes))


def factor_of(node: Any, variable: bool, log_prob: Callable[[], torch.Tensor]) -> Factor:
    """Returns what a site's log density is to the sum.

    :param variable: whether the site is summed out.
    :param log_prob: computes its log density, neither masked nor scaled.
    """
    # What a mask leaves out of a summed site is the evidence: its own masses sum to one.
    if variable:
        value = unmasked(node["fn"]).log_prob(node["value"])
    else:
        value = scale_and_mask(log_prob(), 1.0, node["mask"])
    scale = node["scale"]
    if isinstance(scale, torch.Tensor) and scale.numel() == 1 and not scale.requires_grad:
        scale = float(scale)
    return Factor(node["name"], value, frames_of(node), scale)


def term_of(group: Group, trace: Any, log_prob: Callable[[Any], torch.Tensor]) -> torch.Tensor:
    """Returns the term of the bound that a group's sites make.

    :param trace: of the model.
    :param log_prob: gives the log density of a site, neither masked nor scaled.
    """
    names = {variable.name for variable in group.variables}
    nodes = [trace.nodes[name] for name in group.sites]
    factors = [factor_of(n, n["name"] in names, partial(log_prob, n)) for n in nodes]
    return contract(group, factors)
