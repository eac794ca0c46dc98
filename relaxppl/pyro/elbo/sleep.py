"""One draw of the sleep phase: sites and data from the model, and what the guide makes of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pyro.distributions as dist
import pyro.poutine as poutine
import torch
from pyro.poutine.messenger import Messenger
from pyro.poutine.util import site_is_subsample

from relaxppl.common import sleep as common
from relaxppl.pyro.elbo.replay import Replay


class _Asleep(common.Asleep, Messenger):
    def _pyro_sample(self, msg: Any) -> None:
        if msg["is_observed"] and not site_is_subsample(msg):
            self.meet(msg, isinstance(msg["fn"], dist.Unit))
            msg["done"] = False


def log_q(
    model: Callable[..., Any],
    guide: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> torch.Tensor:
    """Returns the guide's log density at a draw of the model, given the data drawn with it, ().

    :param model: the model, whose parameters are held.
    :param guide: the guide.
    """
    asleep = _Asleep()
    with torch.no_grad():
        trace = poutine.trace(asleep(model)).get_trace(*args, **kwargs)
    nodes = {n: node for n, node in trace.nodes.items() if node["type"] == "sample"}
    drawn = {n: nodes[n]["value"].to(array) for n, array in asleep.observed.items()}
    args, kwargs = common.arguments(args, kwargs, asleep.observed, drawn)
    with Replay({name: node["value"] for name, node in nodes.items()}):
        sites = poutine.trace(guide).get_trace(*args, **kwargs)
    for name, node in sites.nodes.items():
        if node["type"] == "sample" and not node["is_observed"] and name not in nodes:
            common.check_guided(name)
    return sites.log_prob_sum()
