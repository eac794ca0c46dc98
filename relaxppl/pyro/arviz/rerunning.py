"""Handlers that run a program again: at given values, on the whole data, or drawing the data."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from pyro.infer.inspect import site_is_deterministic
from pyro.params import user_param_name
from pyro.poutine.messenger import Messenger
from pyro.poutine.subsample_messenger import SubsampleMessenger

from relaxppl.common.arviz.trace import is_auxiliary


class Params(Messenger):
    """Gives parameters their values; the host's handler warns of those that a program lacks."""

    def __init__(self, values: dict[str, torch.Tensor]) -> None:
        super().__init__()
        self.values = values

    def _pyro_param(self, msg: Any) -> None:
        name = user_param_name(msg["name"])
        if name in self.values:
            msg["value"] = self.values[name]


class Unobserve(Messenger):
    """Draws observed sites anew; a factor and a deterministic site have no value to draw."""

    def _pyro_sample(self, msg: Any) -> None:
        if msg["is_observed"] and not (is_auxiliary(msg) or site_is_deterministic(msg)):
            msg["is_observed"], msg["value"], msg["done"] = False, None, False
            msg["infer"] = {**msg["infer"], "was_observed": True}


@contextmanager
def whole_plates() -> Iterator[None]:
    """Runs plates that would draw a subsample on all their indices.

    The host takes the subsample's size from the argument of its own function and not from the
    message, so that no handler can change it.
    """
    original = SubsampleMessenger.__dict__["_subsample"]

    def whole(
        name: str,
        size: Any = None,
        subsample_size: Any = None,
        subsample: Any = None,
        *args: Any,
    ) -> Any:
        if size is not None and subsample is None:
            subsample_size = None
        return original.__func__(name, size, subsample_size, subsample, *args)

    SubsampleMessenger._subsample = staticmethod(whole)
    try:
        yield
    finally:
        SubsampleMessenger._subsample = original
