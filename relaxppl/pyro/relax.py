"""``relax``: a discrete model run with relaxations at its latent sites."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pyro.infer.reparam.reparam import Reparam
from pyro.poutine.block_messenger import BlockMessenger
from pyro.poutine.condition_messenger import ConditionMessenger
from pyro.poutine.messenger import Messenger
from pyro.poutine.runtime import _PYRO_STACK
from pyro.poutine.uncondition_messenger import UnconditionMessenger
from pyro.poutine.util import site_is_subsample

from relaxppl.common import relax as common
from relaxppl.pyro.registry import HOST
from relaxppl.pyro.step import current_step

Config = Mapping[str, Any] | Callable[[Any], Any] | None


def relax(
    fn: Callable | None = None, temperature: Any = None, config: Config = None, hard: bool = False
) -> Any:
    """Puts a relaxation in place of the discrete distribution at every latent discrete site.

    The site keeps its name, plates, mask, scale and infer dict. Observed and conditioned sites are
    left alone, whether the conditioning is inside or outside. It is a handler as the host's own:
    ``relax(model, temperature=0.5)`` wraps a function, ``with relax(temperature=0.5):`` a block.
    Apply it to model and guide alike.

    A count (Poisson, ...) is relaxed by :func:`truncate`: the site in the trace holds weights on
    its values, and the program gets the number they make.

    :param fn: a function with Pyro primitives; None for a context manager or decorator.
    :param temperature: a positive number or tensor, or a schedule, which is called with
        :func:`current_step`.
    :param config: from the name of a site to a factory of (distribution, temperature), to one of
        this package's classes that take probs or logits, or to None to leave the site discrete; or
        a function from a site to one of these. Sites it does not name get the registered one.
    :param hard: whether the sites take discrete values, for ``Predictive``. A site with the
        registered relaxation is then simply left discrete, which is the law of the hardened draws;
        with a relaxation from config, relaxed draws are hardened. A relaxed value that is
        substituted reaches the program hardened.
    :returns: the wrapped function, or the handler when fn is None.
    :raises TypeError: if an argument is of the wrong kind.
    :raises ValueError: if the temperature is not positive; while the program runs, naming the site,
        if it has no relaxation or one of another event shape; and at its end, if config names a
        site that it does not have.
    """
    if fn is not None and not callable(fn):
        raise TypeError(f"relax: {fn!r} is not callable; give the temperature by keyword")
    handler = RelaxMessenger(temperature, config, hard)
    return handler if fn is None else handler(fn)


class RelaxMessenger(common.Handler, Messenger):
    """The handler of :func:`relax`, with its parameters."""

    _stack = _PYRO_STACK
    _condition, _uncondition, _block = ConditionMessenger, UnconditionMessenger, BlockMessenger

    def __init__(self, temperature: Any, config: Config = None, hard: bool = False) -> None:
        super().__init__()
        self.plan = common.Plan(HOST, temperature, config, hard, current_step)
        self._readers = {}

    def __enter__(self) -> RelaxMessenger:
        self._begin()
        return super().__enter__()

    def __exit__(self, exc_type: Any, exc_value: Any, traceback: Any) -> None:
        super().__exit__(exc_type, exc_value, traceback)
        if exc_type is None:
            self.plan.end()

    def _pyro_sample(self, msg: Any) -> None:
        if not site_is_subsample(msg):
            self._replace(msg)

    def _pyro_post_sample(self, msg: Any) -> None:
        self._read(msg)

    def _apply(self, handler: Any, msg: dict[str, Any]) -> None:
        handler._process_message(msg)


class RelaxReparam(Reparam):
    """Relaxes one site: a strategy for the host's ``reparam`` handler.

    :param temperature: as in :func:`relax`.
    :param factory: what config maps a site to there, except None; None for the registered one.
    :raises ValueError: when applied, naming the site, as in :func:`relax`.
    """

    def __init__(self, temperature: Any, factory: Any = None) -> None:
        config = None if factory is None else lambda site: factory
        self.plan = common.Plan(HOST, temperature, config, False, current_step)

    def apply(self, msg: Any) -> Any:
        result = {key: msg[key] for key in ("fn", "value", "is_observed")}
        if not msg["is_observed"]:
            result["fn"] = self.plan.of_strategy(msg["name"], msg["fn"], msg)
        return result
