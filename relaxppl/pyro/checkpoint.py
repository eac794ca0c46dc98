"""The state of a training in a file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyro
import pyro.poutine as poutine
import torch
from pyro.infer import SVI

from relaxppl.common import checkpoint as common
from relaxppl.pyro.elbo.kept import Before
from relaxppl.pyro.elbo.storages import key_of
from relaxppl.pyro.random_state import rng_state, set_rng_state


def _tensors(svi: SVI, kept: Sequence[torch.Tensor]) -> dict[str, torch.Tensor]:
    """Returns what a training changes beside its optimiser: parameters and modules' buffers.

    :param kept: what a step writes to and keeps, in this order.
    """
    found = {name: p.data for name, p in pyro.get_param_store().named_parameters()}
    for role, fn in (("model", svi.model), ("guide", svi.guide)):
        inner = poutine.unwrap(fn)
        if isinstance(inner, torch.nn.Module):
            found.update({f"{role}: {name}": b for name, b in inner.named_buffers()})
    known = {key_of(x) for x in found.values()}
    rest = [x for x in kept if key_of(x) not in known]
    return found | {f"written: {i}": x for i, x in enumerate(rest)}


def save(
    path: Path, svi: SVI, optim: Any, losses: list[float], kept: Sequence[torch.Tensor]
) -> None:
    """Saves the state after some steps.

    :param optim: the optimiser of SVI, without anything around it.
    :param losses: of the steps so far.
    :param kept: what a step writes to and keeps.
    """
    state = {
        "tensors": {name: x.detach().clone() for name, x in _tensors(svi, kept).items()},
        "optimiser": optim.get_state(),
        "random": rng_state(),
        "losses": list(losses),
    }
    common.write(path, lambda file: torch.save(state, file))


def load(
    path: Path, svi: SVI, args: Any, kwargs: Any, num_steps: int
) -> tuple[list[float], list[torch.Tensor]]:
    """Puts back the state that was saved.

    Returns the losses of the steps so far, and what a step writes to and keeps.

    :param args: the arguments of model and guide, which run once for their parameters to be there.
    :raises ValueError: if the file is of another program, or has taken more steps.
    """
    state = torch.load(path, weights_only=True)
    losses = state["losses"]
    with poutine.trace(param_only=True), Before() as before:
        svi.loss_and_grads(svi.model, svi.guide, *args, **kwargs)
    kept = before.kept()
    own = _tensors(svi, kept)
    shapes = {name: tuple(x.shape) for name, x in own.items()}
    saved = {name: tuple(x.shape) for name, x in state["tensors"].items()}
    common.compare(path, saved, shapes)
    common.check_steps(path, len(losses), num_steps)
    with torch.no_grad():
        for name, x in own.items():
            x.copy_(state["tensors"][name])
    for _, parameter in pyro.get_param_store().named_parameters():
        parameter.grad = None
    # Pyro's optimisers take a state when they first see a parameter.
    svi.optim.optim_objs.clear()
    svi.optim.set_state(state["optimiser"])
    set_rng_state(state["random"])
    return list(losses), kept
