"""Tensors and the memory that they share."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch.multiprocessing.reductions import StorageWeakRef


def key_of(tensor: torch.Tensor) -> int:
    """Returns a number that tensors share which share memory."""
    try:
        return tensor.untyped_storage()._cdata
    except NotImplementedError:  # A sparse tensor has no storage.
        return -id(tensor)


def base_of(tensor: torch.Tensor) -> torch.Tensor:
    """Returns the tensor that one is a view of, or itself."""
    return tensor if tensor._base is None else tensor._base


def reference_to(tensor: torch.Tensor) -> Any:
    try:
        return StorageWeakRef(tensor.untyped_storage())
    except NotImplementedError:
        return tensor


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
