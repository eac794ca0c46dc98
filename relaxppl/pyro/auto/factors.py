"""The factors of a model: which latent sites each of its log densities depends on."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import pyro.poutine as poutine
import torch
from pyro.poutine.messenger import Messenger
from pyro.poutine.util import site_is_subsample

from relaxppl.common.auto.graph import Factor
from relaxppl.pyro.elbo.dependence import Names, Tracker, plain
from relaxppl.pyro.elbo.structure import Watch


def factors_of(
    model: Callable[..., Any], latents: Collection[str], args: tuple[Any, ...], kwargs: Any
) -> list[Factor]:
    """Returns a model's factors.

    :param model: the model.
    :param latents: the names of its latent sites.
    :param args: positional arguments of the model.
    :param kwargs: its keyword arguments.
    """
    known = frozenset(latents)
    found = []
    with poutine.block(), torch.no_grad(), Tracker() as tracker:
        watch = Watch(tracker, known)
        with watch, _Own(tracker, known):
            trace = poutine.trace(model).get_trace(*args, **kwargs)
        for name, node in trace.nodes.items():
            if node["type"] != "sample" or site_is_subsample(node):
                continue
            with tracker.inside_law() as decided:
                value = node["fn"].log_prob(node["value"], *node["args"], **node["kwargs"])
            inputs = tracker.of(value, node["scale"], node["mask"])
            deps: Names = plain(inputs | decided[0] | watch.escaped[name])
            plates = frozenset(f.name for f in node["cond_indep_stack"] if f.vectorized)
            found.append(Factor(deps & known, plates, name))
    return found


class _Own(Messenger):
    """Makes the value of each latent site depend on the site alone."""

    def __init__(self, tracker: Tracker, latents: Names) -> None:
        super().__init__()
        self.tracker, self.latents = tracker, latents

    def _pyro_post_sample(self, msg: Any) -> None:
        if msg["name"] in self.latents:
            msg["value"] = self.tracker.copy(msg["value"].detach(), frozenset((msg["name"],)))
