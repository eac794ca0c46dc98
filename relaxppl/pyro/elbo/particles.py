"""Particles in batches: how many a run of the program holds, and the draws of all runs together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pyro
import torch

from relaxppl.estimators import kl_factor
from relaxppl.estimators.base import Draws, Estimator, Step, draws_of
from relaxppl.estimators.kl_factor import SiteDraw
from relaxppl.pyro.elbo.parameters import Learned

Fn = Callable[..., Any]

PLATE = "num_particles_vectorized"
"""The host's name of the plate that the particles of a run lie in."""


@dataclass(frozen=True)
class Batches:
    """How the particles of an ELBO are spread over runs of its program."""

    num_particles: int
    together: int
    """How many a run holds, the last one maybe fewer."""
    axis: int
    """Along which draws lie once they are together: a run's plate, or 0 for a new one."""

    @property
    def counts(self) -> list[int]:
        """How many particles each run holds."""
        whole, rest = divmod(self.num_particles, self.together)
        return [self.together] * whole + [rest] * (rest > 0)

    def runs(self, model: Fn, guide: Fn) -> list[tuple[Fn, Fn]]:
        """Returns the two programs of each run, particles in a plate outside of their own."""
        if not self.axis:
            return [(model, guide)] * len(self.counts)
        dim = self.axis
        return [
            (pyro.plate(PLATE, count, dim=dim)(model), pyro.plate(PLATE, count, dim=dim)(guide))
            for count in self.counts
        ]

    def join(self, parts: Sequence[Any], batch_rank: int | None = None) -> Any:
        """Returns what all runs have of a batch side by side, or None where they have nothing.

        :param parts: by run; leading dimensions of size one may be left out.
        :param batch_rank: how many dimensions belong to the batch, left of others; None for all.
        """
        if parts[0] is None:
            return None
        if len(parts) == 1 or not self.axis:
            return torch.stack(tuple(parts))
        rank = max(part.ndim for part in parts)
        batch_rank = rank if batch_rank is None else batch_rank
        missing = max(0, -self.axis - batch_rank)
        position = batch_rank + missing + self.axis
        found = []
        for part, count in zip(parts, self.counts, strict=True):
            shape = [1] * (rank + missing - part.ndim) + list(part.shape)
            whole, shape[position] = part.reshape(shape), count
            found.append(whole.expand(shape))
        return torch.cat(found, dim=position)


def compared(steps: list[Step], learned: Learned, batches: Batches) -> Any:
    """Returns a sum with the gradients of the sites whose estimators see all draws."""
    drawn: dict[str, list[Draws]] = {}
    own: dict[str, list[SiteDraw]] = {}
    estimators: dict[str, Estimator] = {}
    for step in steps:
        for name, estimator in step.chosen.items():
            if estimator.sees_all_draws:
                drawn.setdefault(name, []).append(draws_of(step.program, step.site(name)))
                estimators[name] = estimator
                if name in step.program.factors:
                    own.setdefault(name, []).append(kl_factor.site_draw(step, name))
    total: Any = 0.0
    for name, draws in drawn.items():
        rank, axis, estimator = draws[0].log_q.ndim, batches.axis, estimators[name]
        together = Draws(*(batches.join(p, rank) for p in zip(*draws, strict=True)))
        if name in own:
            parts = zip(*own[name], strict=True)
            mine = SiteDraw(*(batches.join(p, rank) for p in parts))
            found = kl_factor.compare(estimator, name, together, mine, learned, axis)
        else:
            found = estimator.compare(name, together, learned, axis)
        total = total + found
    return total
