"""Giving sites of a Pyro program their values."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from pyro.poutine.messenger import Messenger


class Replay(Messenger):
    """Puts given values at given sites, and recomputes others by a function of the new law."""

    def __init__(
        self,
        values: Mapping[str, Any],
        recompute: Mapping[str, Callable[[Any], torch.Tensor]] | None = None,
    ) -> None:
        super().__init__()
        self.values, self.recompute = values, recompute or {}

    def _pyro_sample(self, msg: Any) -> None:
        if msg["is_observed"]:
            return
        if msg["name"] in self.values:
            msg["value"] = self.values[msg["name"]]
            msg["done"] = True
        elif msg["name"] in self.recompute:
            msg["value"] = self.recompute[msg["name"]](msg["fn"])
            msg["done"] = True
