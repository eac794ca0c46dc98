"""What a program writes to and keeps from run to run, such as the running means of a BatchNorm.

An ELBO runs a program more often than its author counts: at other values of its sites, and to
check what depends on what. Only the first run of a particle is the author's, and writes.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from relaxppl.pyro.elbo.operations import written_by
from relaxppl.pyro.elbo.storages import base_of, key_of
from relaxppl.pyro.random_state import rewound, rng_state


def unwritten(kept: Sequence[torch.Tensor]) -> AbstractContextManager[Any]:
    """Leaves some tensors as they are, whatever a program writes to them in the context.

    :param kept: the tensors; with none of them nothing is watched.
    """
    return _Unwritten(kept) if kept else nullcontext()


class _Unwritten(TorchDispatchMode):
    """Has operations write to copies."""

    def __init__(self, kept: Sequence[torch.Tensor]) -> None:
        super().__init__()
        self._kept = {key_of(tensor): tensor for tensor in kept}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        args, kwargs = list(args), dict(kwargs or {})
        for given, position in written_by(func, args, kwargs):
            if key_of(given[position]) in self._kept:
                given[position] = given[position].clone()
        return func(*args, **kwargs)


class Before(TorchDispatchMode):
    """Keeps what tensors held before operations wrote to them."""

    def __init__(self) -> None:
        super().__init__()
        self._found: dict[int, tuple[weakref.ref[torch.Tensor], torch.Tensor]] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        args, kwargs = list(args), dict(kwargs or {})
        for given, position in written_by(func, args, kwargs):
            tensor = base_of(given[position])
            known = self._found.get(id(tensor))
            if known is None or known[0]() is not tensor:
                self._found[id(tensor)] = weakref.ref(tensor), tensor.detach().clone()
        return func(*args, **kwargs)

    def kept(self) -> list[torch.Tensor]:
        """Returns the tensors that were written to and are still there, in that order."""
        found = (ref() for ref, _ in self._found.values())
        return [tensor for tensor in found if tensor is not None]

    def put_back(self) -> None:
        """Gives the tensors that are still there what they held before."""
        for ref, value in self._found.values():
            tensor = ref()
            if tensor is not None:
                tensor.data.copy_(value)


@contextmanager
def undone() -> Iterator[None]:
    """Puts back, at the end of the context, what programs wrote to in it."""
    with Before() as before:
        yield
    before.put_back()


@contextmanager
def left_alone(run: Callable[[], Any]) -> Iterator[None]:
    """Leaves what a program keeps as it is, for measurements of it that a user does not count.

    :param run: runs the program once; random numbers then go on as if it had not. What it raises
        is left to the measurement.
    """
    with rewound(rng_state()), Before() as before, suppress(Exception):
        run()
    before.put_back()
    with unwritten(before.kept()):
        yield
