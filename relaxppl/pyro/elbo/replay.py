"""Giving sites of a Pyro program their values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from pyro.poutine.messenger import Messenger


class Replay(Messenger):
    """Puts given values at given sites, and recomputes others by a function of the new law."""

    def __init__(
        self, values: dict[str, Any], recompute: dict[str, Callable[[Any], torch.Tensor]]
    ) -> None:
        super().__init__()
        self.values = values
        self.recompute = recompute

    def _pyro_sample(self, msg: Any) -> None:
        if msg["is_observed"]:
            return
        if msg["name"] in self.values:
            msg["value"] = self.values[msg["name"]]
            msg["done"] = True
        elif msg["name"] in self.recompute:
            msg["value"] = self.recompute[msg["name"]](msg["fn"])
            msg["done"] = True
