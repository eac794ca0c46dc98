"""Giving sites of a Pyro program their values."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from pyro.poutine.messenger import Messenger

from relaxppl.pyro.random_state import rng_state, set_rng_state


class Replay(Messenger):
    """Puts given values at given sites, and recomputes others by a function of the new law.

    :param values: by site; the others are sampled.
    :param recompute: by site what makes its value of its law.
    :param noise: the states of the random numbers after each site of an earlier run, and at None
        that at its start. What is drawn between the sites and at the others is drawn again by them.
    """

    def __init__(
        self,
        values: Mapping[str, Any],
        recompute: Mapping[str, Callable[[Any], torch.Tensor]] | None = None,
        noise: Mapping[str | None, Any] | None = None,
    ) -> None:
        super().__init__()
        self.values, self.recompute, self.noise = values, recompute or {}, noise or {}

    def __enter__(self) -> Any:
        if self.noise:
            self.present = rng_state()
            set_rng_state(self.noise[None])
        return super().__enter__()

    def __exit__(self, *exception: Any) -> None:
        if self.noise:
            set_rng_state(self.present)
        super().__exit__(*exception)

    def _pyro_post_sample(self, msg: Any) -> None:
        if msg["name"] in self.noise:
            set_rng_state(self.noise[msg["name"]])

    def _pyro_sample(self, msg: Any) -> None:
        if msg["is_observed"]:
            return
        if msg["name"] in self.values:
            msg["value"] = self.values[msg["name"]]
            msg["done"] = True
        elif msg["name"] in self.recompute:
            msg["value"] = self.recompute[msg["name"]](msg["fn"])
            msg["done"] = True
