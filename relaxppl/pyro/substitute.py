"""A handler that gives latent sites their values."""

from __future__ import annotations

from typing import Any

from pyro.poutine.messenger import Messenger


class Substitute(Messenger):
    """Gives latent sites their values, and their laws the say on the values' density."""

    def __init__(self, values: dict[str, Any]) -> None:
        super().__init__()
        self.values = values

    def _pyro_sample(self, msg: Any) -> None:
        if msg["name"] in self.values and not msg["is_observed"]:
            msg["value"], msg["done"] = self.values[msg["name"]], True
