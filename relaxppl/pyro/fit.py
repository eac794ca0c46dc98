"""A training loop with a progress bar."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import nullcontext
from typing import Any, NamedTuple

import numpy as np
import pyro
import torch
from pyro.infer import SVI

from relaxppl.common import checkpoint as saving
from relaxppl.common import fit as common
from relaxppl.common.docstring import documented_by
from relaxppl.common.naming import STEP, is_learned
from relaxppl.common.relax.watching import watched
from relaxppl.pyro.checkpoint import load, save
from relaxppl.pyro.compiled import Compiled
from relaxppl.pyro.elbo.kept import Before


class FitResult(NamedTuple):
    """What a fit leaves behind.

    :param params: the constrained values of all parameters in the store, by name; copies.
    :param losses: the loss of every step, (num_steps,).
    """

    params: dict[str, torch.Tensor]
    losses: torch.Tensor


@documented_by(common.check)
def fit(
    svi: SVI,
    num_steps: int,
    *args: Any,
    progress: bool | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    checkpoint_every: int = 1000,
    compile: bool = False,
    **kwargs: Any,
) -> FitResult:
    """Takes steps of SVI, with a bar that says how it goes.

    :param checkpoint: a file for the whole state: the parameter store, buffers of the modules that
        model and guide are, the optimiser, and torch's random numbers. If it is there, the training
        goes on from it, bit for bit as without the break, until ``num_steps`` in all; it is
        replaced as a whole every so many steps and at the end.
    :param compile: whether to trace a step of this library's ELBOs into a graph of torch operations
        and to run that alone (:mod:`relaxppl.pyro.compiled`). A program that reads a number out of
        a tensor in Python is refused, and one whose loss moves with a number that Python counts.
        A resumed training then repeats the unbroken one to rounding only.
    :returns: the parameters and the losses.
    """
    common.check(num_steps, progress)
    cls, path = common.bar_class(progress), saving.check(checkpoint_every, checkpoint)
    if compile:
        plain, traced = svi.loss_and_grads, Compiled(getattr(svi.loss, "__self__", svi.loss))
        svi.loss_and_grads = traced.loss_and_grads
        how: dict[str, Any] = {"checkpoint": checkpoint, "checkpoint_every": checkpoint_every}
        try:
            return fit(svi, num_steps, *args, progress=progress, **how, **kwargs)
        finally:
            svi.loss_and_grads = plain
    losses: list[float] = []
    written: list[torch.Tensor] | None = None
    if path is not None and path.exists():
        losses, written = load(path, svi, args, kwargs, num_steps)
    done = len(losses)
    gradients = svi.loss_and_grads

    def first(*given: Any, **named: Any) -> Any:
        nonlocal written
        svi.loss_and_grads = gradients
        with Before() as before:
            loss = gradients(*given, **named)
        written = before.kept()
        return loss

    if path is not None and written is None:
        svi.loss_and_grads = first

    def kept(optim: Any) -> None:
        taken = len(losses)
        if path is not None and (taken % checkpoint_every == 0 or taken == num_steps):
            assert written is not None  # They are known from the first step.
            save(path, svi, optim, losses, written)

    if cls is None or done == num_steps:
        for _ in range(done, num_steps):
            losses.append(svi.step(*args, **kwargs))
            kept(svi.optim)
        return _result(losses)
    loss = getattr(svi.loss, "__self__", svi.loss)
    optim, watcher = svi.optim, _Gradients(svi.optim)
    svi.optim = watcher
    try:
        with common.Bar(cls, num_steps) as bar:
            bar.skip(done)
            sites: Any = {}
            for index in range(done, num_steps):
                # The first step shows which sites are relaxed.
                with nullcontext(sites) if index > done else watched(hardened=False) as sites:
                    losses.append(svi.step(*args, **kwargs))
                kept(optim)
                if index > done and index + 1 < num_steps and not bar.due():
                    continue
                store = pyro.get_param_store()
                params = {name: store[name].detach() for name in store.keys()}  # noqa: SIM118
                shown = common.temperatures(sites, params, loss, params.get(STEP))
                bound = -float(np.mean(losses[bar.done :]))
                bar.show(len(losses) - bar.done, bound, watcher.read(), shown)
    finally:
        svi.optim = optim
    return _result(losses)


def _result(losses: list[float]) -> FitResult:
    store = pyro.get_param_store()
    params = {name: store[name].detach().clone() for name in store.keys()}  # noqa: SIM118
    return FitResult(params, torch.tensor(losses))


class _Gradients(common.Gradients):
    def __init__(self, optim: Any) -> None:
        super().__init__(optim)
        self._last: dict[str, torch.Tensor] = {}
        self._total = torch.zeros(())
        self._pairs = 0

    def __call__(self, params: Iterable[torch.Tensor], *args: Any, **kwargs: Any) -> None:
        params = list(params)
        store = pyro.get_param_store()
        seen = {}
        for param in params:
            name = store.param_name(param)
            if name is None or name == STEP or is_learned(name):
                continue
            if param.grad is not None:
                seen[name] = param.grad.detach().clone()
        if self._last.keys() == seen.keys():
            squares = ((seen[name] - last).square().sum() for name, last in self._last.items())
            self._total = self._total + 0.5 * sum(squares)
            self._pairs += 1
        self._last = seen
        self.optim(params, *args, **kwargs)

    def read(self) -> float | None:
        """Returns the variance since the last reading, or None if there were no two steps."""
        variance = float(self._total) / self._pairs if self._pairs else None
        self._total, self._pairs = torch.zeros(()), 0
        return variance
