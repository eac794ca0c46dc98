"""``relax``: a discrete model run with relaxations at its latent sites."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from numpyro import handlers
from numpyro.infer.reparam import Reparam
from numpyro.primitives import _PYRO_STACK, Messenger

from relaxppl.common import relax as common
from relaxppl.common.docstring import documented_by
from relaxppl.numpyro.registry import HOST
from relaxppl.numpyro.step import current_step

Config = Mapping[str, Any] | Callable[[Any], Any] | None


@documented_by(common.Handler)
class relax(common.Handler, Messenger):
    """Puts a relaxation in place of the discrete distribution at every latent discrete site.

    :param fn: a function with NumPyro primitives; None for a context manager or decorator.
    """

    _stack = _PYRO_STACK
    _condition = (handlers.condition, handlers.scope)
    _uncondition, _block = handlers.uncondition, handlers.block

    def __init__(
        self,
        fn: Callable | None = None,
        temperature: Any = None,
        config: Config = None,
        hard: bool = False,
    ) -> None:
        self.plan = common.Plan(HOST, temperature, config, hard, current_step)
        self._readers = {}
        super().__init__(fn)

    def process_message(self, msg: Any) -> None:
        if msg["type"] == "control_flow":
            # The host runs these functions behind a block, out of this handler's sight.
            msg["args"] = tuple(_Inside(self, arg) if callable(arg) else arg for arg in msg["args"])
        if msg["type"] != "sample":
            return
        self._replace(msg)

    def postprocess_message(self, msg: Any) -> None:
        self._read(msg)

    def _apply(self, handler: Any, msg: dict[str, Any]) -> None:
        handler.process_message(msg)


class _Inside(relax):
    """The handler of a control-flow body: the plan and the temperature are the outer one's."""

    def __init__(self, outer: relax, fn: Callable) -> None:
        self.plan = outer.plan
        self._readers = {}
        Messenger.__init__(self, fn)

    def __enter__(self) -> None:
        Messenger.__enter__(self)

    def __exit__(self, exc_type: Any, exc_value: Any, traceback: Any) -> None:
        Messenger.__exit__(self, exc_type, exc_value, traceback)


@documented_by(common.Strategy)
class RelaxReparam(common.Strategy, Reparam):
    """Relaxes one site: a strategy for the host's ``reparam`` handler."""

    _host, _current_step = HOST, staticmethod(current_step)

    def __call__(self, name: str, fn: Any, obs: Any) -> tuple[Any, Any]:
        if obs is not None:
            return fn, obs
        return self.plan.of_strategy(name, fn, {"name": name, "fn": fn}), None
