"""One draw of the sleep phase: sites and data from the model, and what the guide makes of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpyro.distributions as dist
from numpyro import handlers
from numpyro.primitives import Messenger

from relaxppl.common import sleep as common
from relaxppl.numpyro.elbo.laws import soft_log_prob
from relaxppl.numpyro.elbo.replay import Again


class _Asleep(common.Asleep, Messenger):
    def process_message(self, msg: dict[str, Any]) -> None:
        if msg["type"] == "sample" and msg["is_observed"]:
            self.meet(msg, isinstance(msg["fn"], dist.Unit))


def log_q(
    model: Callable[..., Any],
    guide: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    params: dict[str, Any],
    key: jax.Array,
) -> jax.Array:
    """Returns the guide's log density at a draw of the model, given the data drawn with it, ().

    :param model: the model, not seeded.
    :param guide: the guide, not seeded.
    :param params: the parameters by name; those of the model are held.
    :param key: a PRNG key.
    """
    keys = jax.random.split(key)
    asleep = _Asleep(handlers.substitute(model, data=jax.lax.stop_gradient(params)))
    trace = handlers.trace(handlers.seed(asleep, keys[0])).get_trace(*args, **kwargs)
    for name, site in trace.items():
        if site["type"] == "sample" and site["is_observed"]:
            common.check_drawn(name, factor=False)
    drawn = {
        name: jnp.asarray(trace[name]["value"], jnp.result_type(array))
        for name, array in asleep.observed.items()
    }
    args, kwargs = common.arguments(args, kwargs, asleep.observed, drawn)

    def choose(msg: dict[str, Any], before: dict[str, Any]) -> Any:
        return jax.lax.stop_gradient(before["value"])

    held = Again(handlers.substitute(guide, data=params), trace, choose)
    sites = handlers.trace(handlers.seed(held, keys[1])).get_trace(*args, **kwargs)
    total = jnp.zeros(())
    for name, site in sites.items():
        if site["type"] != "sample" or site["is_observed"]:
            continue
        if name not in trace:
            common.check_guided(name)
        # A known law's own form: the host's Bernoulli has a wrong derivative at logits of 0.
        log_prob = soft_log_prob(site["fn"], site["value"])
        log_prob = site["fn"].log_prob(site["value"]) if log_prob is None else log_prob
        total += jnp.sum(log_prob if site["scale"] is None else site["scale"] * log_prob)
    return total
