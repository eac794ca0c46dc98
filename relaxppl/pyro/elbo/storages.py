"""Tensors and the memory that they share."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable
from typing import Any

import torch


def key_of(tensor: torch.Tensor) -> int:
    """Returns a number that tensors share which share memory."""
    try:
        return tensor.untyped_storage()._cdata
    except NotImplementedError:  # A sparse tensor has no storage.
        return -id(tensor)


def base_of(tensor: torch.Tensor) -> torch.Tensor:
    """Returns the tensor that one is a view of, or itself."""
    return tensor if tensor._base is None else tensor._base


def reference_to(tensor: torch.Tensor) -> Callable[[], Any]:
    """Returns a function that returns None once the memory of a tensor is free.

    The memory may then be another tensor's, under the same number.
    """
    try:
        # torch's StorageWeakRef keeps a block beside the memory, which then is not used again.
        return weakref.ref(tensor.untyped_storage())
    except NotImplementedError:
        return lambda: tensor


def tensors_in(values: Iterable[Any]) -> list[torch.Tensor]:
    found = []
    for value in values:
        if isinstance(value, torch.Tensor):
            found.append(value)
        elif isinstance(value, (tuple, list, set)):
            found += tensors_in(value)
        elif isinstance(value, dict):
            found += tensors_in(value.values())
    return found
