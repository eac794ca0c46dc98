"""Handlers that run a program again: on the whole data, or with the data drawn anew."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from numpyro import handlers
from numpyro.primitives import Messenger

from relaxppl.common.arviz.trace import is_auxiliary


class WholePlates(Messenger):
    """Runs plates that would draw a subsample on all their indices."""

    def process_message(self, msg: Any) -> None:
        if msg["type"] == "plate":
            size, _ = msg["args"]
            msg["args"], msg["value"] = (size, size), jnp.arange(size)


class Unobserve(handlers.uncondition):
    """Draws observed sites anew; a factor has no value to draw."""

    def process_message(self, msg: Any) -> None:
        if not (msg["type"] == "sample" and is_auxiliary(msg)):
            super().process_message(msg)
