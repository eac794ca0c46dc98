"""Running a guide again: its values chosen, or its draws without their gradient."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
from numpyro.primitives import Messenger

from relaxppl.numpyro.elbo.laws import stopped


class Held(Messenger):
    """Draws what a seeded guide samples, without the gradient of the draw."""

    def process_message(self, msg: dict[str, Any]) -> None:
        if msg["type"] == "sample" and not msg["is_observed"] and msg["value"] is None:
            msg["value"] = jax.lax.stop_gradient(msg["fn"](*msg["args"], **msg["kwargs"]))


class Again(Messenger):
    """Runs the guide again, its values chosen, its plates' subsamples as before."""

    def __init__(self, fn: Any, trace: dict[str, Any], choose: Callable[..., Any]) -> None:
        super().__init__(fn)
        self.trace, self.choose = trace, choose

    def process_message(self, msg: dict[str, Any]) -> None:
        if msg["type"] == "control_flow":
            # No handler sees the sites of a scan; the host hands their values in.
            msg["kwargs"]["substitute_stack"].append(("substitute", self._of_scan))
        before = self.trace.get(msg.get("name", ""))
        if before is None:
            return
        if msg["type"] == "plate":
            msg["value"] = before["value"]
        elif msg["type"] == "sample" and not msg["is_observed"]:
            value = self.choose(msg, before)
            if value is not None:
                msg["value"] = value

    def _of_scan(self, msg: dict[str, Any]) -> jax.Array | None:
        """Returns the values of a site inside scan, of all steps; None to draw them again."""
        before = self.trace.get(msg["name"])
        if before is None or msg["is_observed"]:
            return None
        return self.choose({**msg, "kwargs": {**msg["kwargs"]}}, before)


def held(site: dict[str, Any], value: jax.Array | None) -> dict[str, Any]:
    """Returns a site of a trace at a value, or at its own, nothing of it differentiated."""
    if site["type"] != "sample":
        return site
    site = {**site, "fn": stopped(site["fn"]), "intermediates": []}
    site.pop("log_prob", None)
    site["value"] = jax.lax.stop_gradient(site["value"]) if value is None else value
    return site
