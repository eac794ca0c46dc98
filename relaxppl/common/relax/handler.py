"""What a host's handler ``relax`` does at a site: the messages of the hosts share these keys."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from relaxppl.common.relax.plan import Plan


class Handler:
    """The part of ``relax`` that knows no host: a mixin beside the host's ``Messenger``.

    A host's class sets the class attributes.
    """

    _stack: ClassVar[list[Any]]
    """The host's handlers, the outermost first."""
    _condition: ClassVar[Any]
    """Its handlers that observe a site, or that change its name."""
    _uncondition: ClassVar[Any]
    _block: ClassVar[Any]

    plan: Plan
    _readers: dict[int, Callable[[Any, Any], Any]]

    def _begin(self) -> None:
        self._readers = {}
        self.plan.begin()

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
