"""``relax``: a discrete model run with relaxations at its latent sites."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from pyro.infer.reparam.reparam import Reparam
from pyro.poutine.block_messenger import BlockMessenger
from pyro.poutine.condition_messenger import ConditionMessenger
from pyro.poutine.messenger import Messenger
from pyro.poutine.runtime import _PYRO_STACK
from pyro.poutine.uncondition_messenger import UnconditionMessenger
from pyro.poutine.util import site_is_subsample

from relaxppl.common import relax as common
from relaxppl.common.docstring import documented_by
from relaxppl.pyro.registry import HOST
from relaxppl.pyro.step import current_step

Config = Mapping[str, Any] | Callable[[Any], Any] | None


@documented_by(common.Handler)
def relax(
    fn: Callable | None = None, temperature: Any = None, config: Config = None, hard: bool = False
) -> Any:
    """Puts a relaxation in place of the discrete distribution at every latent discrete site.

    :param fn: a function with Pyro primitives; None for a context manager or decorator.
    :returns: the wrapped function, which is a module where fn is one; the handler when fn is None.
    """
    if fn is not None and not callable(fn):
        raise TypeError(f"relax: {fn!r} is not callable; give the temperature by keyword")
    handler = RelaxMessenger(temperature, config, hard)
    if isinstance(fn, torch.nn.Module):
        return RelaxedModule(fn, handler)
    return handler if fn is None else handler(fn)


class RelaxedModule(torch.nn.Module):
    """A module run under the handler: its parameters are there for optimisers and wrappers.

    :param fn: the module.
    :param handler: of :func:`relax`.
    """

    def __init__(self, fn: torch.nn.Module, handler: RelaxMessenger) -> None:
        super().__init__()
        self.fn, self.handler = fn, handler

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Runs the module."""
        with self.handler:
            return self.fn(*args, **kwargs)


class RelaxMessenger(common.Handler, Messenger):
    """The handler of :func:`relax`, with its parameters."""

    _stack = _PYRO_STACK
    _condition, _uncondition, _block = ConditionMessenger, UnconditionMessenger, BlockMessenger

    def __init__(self, temperature: Any, config: Config = None, hard: bool = False) -> None:
        super().__init__()
        self.plan = common.Plan(HOST, temperature, config, hard, current_step)
        self._readers = {}

    def _pyro_sample(self, msg: Any) -> None:
        if not site_is_subsample(msg):
            self._replace(msg)

    def _pyro_post_sample(self, msg: Any) -> None:
        self._read(msg)

    def _apply(self, handler: Any, msg: dict[str, Any]) -> None:
        handler._process_message(msg)


@documented_by(common.Strategy)
class RelaxReparam(common.Strategy, Reparam):
    """Relaxes one site: a strategy for the host's ``reparam`` handler."""

    _host, _current_step = HOST, staticmethod(current_step)

    def apply(self, msg: Any) -> Any:
        result = {key: msg[key] for key in ("fn", "value", "is_observed")}
        if not msg["is_observed"]:
            result["fn"] = self.plan.of_strategy(msg["name"], msg["fn"], msg)
        return result
