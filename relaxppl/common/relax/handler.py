"""What the hosts' handler ``relax`` does at a site: their messages have these keys in common."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from relaxppl.common.relax.host import Host
from relaxppl.common.relax.plan import Plan


class Handler:
    """Puts a relaxation in place of the discrete distribution at every latent discrete site.

    The site keeps its name, plates, mask, scale and infer dict. Observed and conditioned sites are
    left alone, whether the conditioning is inside or outside. It is a handler as the host's own:
    ``relax(model, temperature=0.5)`` wraps a function, ``with relax(temperature=0.5):`` a block.
    Apply it to model and guide alike.

    A count (Poisson, ...) is relaxed by :func:`truncate`: the site in the trace holds weights on
    its values, and the program gets the number they make.

    :param temperature: a positive number or array, or a schedule, which is called with
        :func:`current_step`.
    :param config: from the name of a site to a factory of (distribution, temperature), to one of
        this package's classes that take probs or logits, or to None to leave the site discrete; or
        a function from a site to one of these. Sites it does not name get the registered one.
    :param hard: whether the sites take discrete values, for ``Predictive``. A site with the
        registered relaxation is then simply left discrete, which is the law of the hardened draws;
        with a relaxation from config, relaxed draws are hardened. A relaxed value that is
        substituted reaches the program hardened.
    :raises TypeError: if an argument is of the wrong kind.
    :raises ValueError: if the temperature is not positive; while the program runs, naming the site,
        if it has no relaxation or one of another event shape; and at its end, if config names a
        site that it does not have.
    """

    # A host's class is this and its Messenger, and says what these are.
    _stack: ClassVar[list[Any]]
    """The host's handlers, the outermost first."""
    _condition: ClassVar[Any]
    """Its handlers that observe a site, or that change its name."""
    _uncondition: ClassVar[Any]
    _block: ClassVar[Any]

    plan: Plan
    _readers: dict[int, Callable[[Any, Any], Any]]

    def __enter__(self) -> Any:
        self._readers = {}
        self.plan.begin()
        return super().__enter__()  # type: ignore[misc]

    def __exit__(self, exc_type: Any, exc_value: Any, traceback: Any) -> Any:
        super().__exit__(exc_type, exc_value, traceback)  # type: ignore[misc]
        if exc_type is None:
            self.plan.end()

    def _replace(self, msg: Any) -> None:
        self.plan.seen.add(msg["name"])
        if msg["is_observed"] or self._conditioned_outside(msg):
            return
        replacement = self.plan.at(msg["name"], msg["fn"], msg)
        if replacement is not None:
            msg["fn"] = replacement.fn
            if replacement.read is not None:
                self._readers[id(msg)] = replacement.read

    def _read(self, msg: Any) -> None:
        # Outer handlers, such as trace, have recorded what stands at the site by now.
        read = self._readers.pop(id(msg), None)
        if read is not None and not msg["is_observed"]:
            msg["value"] = read(msg["value"], msg["fn"])

    def _conditioned_outside(self, msg: Any) -> bool:
        """Returns whether a handler that the message has yet to reach observes its site.

        The host applies the innermost handler first, so that one outside has not acted yet.
        """
        position = next(i for i, other in enumerate(self._stack) if other is self)
        probe = {**msg, "infer": dict(msg["infer"]), "kwargs": dict(msg["kwargs"])}
        for other in reversed(self._stack[:position]):
            if isinstance(other, self._condition):
                self._apply(other, probe)
            elif isinstance(other, self._uncondition):
                probe["is_observed"] = False
            elif isinstance(other, self._block) and other.hide_fn(probe):
                break
        return probe["is_observed"]

    def _apply(self, handler: Any, msg: dict[str, Any]) -> None:
        """Lets another handler act on a message."""
        raise NotImplementedError


class Strategy:
    """Relaxes one site: a strategy for the host's ``reparam`` handler.

    :param temperature: as in :class:`relax`.
    :param factory: what config maps a site to there, except None; None for the registered one.
    :raises ValueError: when applied, naming the site, as in :class:`relax`.
    """

    _host: ClassVar[Host]
    _current_step: ClassVar[Any]

    def __init__(self, temperature: Any, factory: Any = None) -> None:
        config = None if factory is None else lambda site: factory
        self.plan = Plan(self._host, temperature, config, False, self._current_step)
