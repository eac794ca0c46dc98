"""A program some of whose sites no handler outside sees."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpyro
from numpyro.primitives import Messenger


class without_sites(Messenger):
    """Draws some latent sites out of sight of every handler outside.

    The host's ``block`` would hide them from ``seed`` too, which has to be outside.

    :param fn: a model or a guide.
    :param names: the sites.
    """

    def __init__(self, fn: Callable[..., Any], names: frozenset[str]) -> None:
        super().__init__(fn)
        self.names = names

    def process_message(self, msg: dict[str, Any]) -> None:
        if msg["type"] == "sample" and msg["name"] in self.names and not msg["is_observed"]:
            if msg["value"] is None:
                msg["value"] = msg["fn"].sample(numpyro.prng_key(), msg["kwargs"]["sample_shape"])
            msg["stop"] = True
