"""The members that a distribution class gets from what its relaxation promises."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

from relaxppl.relaxations.base import Relaxation


class Readable(dict[str, Any]):
    """The constraints by parameter: of an instance, of those that can be read off it.

    :param constraints: of all parameters.
    :param underived: the parameters that cannot be had from others.
    """

    def __init__(self, constraints: dict[str, Any], underived: set[str]) -> None:
        super().__init__(constraints)
        self.underived = underived

    def __get__(self, instance: Any, owner: Any) -> dict[str, Any]:
        missing: list[str] = []
        if instance is not None:
            # Not by a difference of sets: torch.compile before 2.12 cannot trace the keys.
            missing = [n for n in self.underived if n not in instance.__dict__]
        return {n: c for n, c in self.items() if n not in missing} if missing else self


class Support:
    """The support: of the class where it does not depend on a parameter, else of the instance."""

    def __init__(self, constraint: Callable[[Any], Any]) -> None:
        self.constraint = constraint

    def __get__(self, instance: Any, owner: Any) -> Any:
        if instance is not None:
            return self.constraint(instance.law.support)
        support = owner.relaxation.support
        return self if isinstance(support, property) else self.constraint(support)

    @property
    def event_dim(self) -> int:
        raise NotImplementedError("the support depends on the parameters: ask an instance")


def of_law(name: str) -> property:
    """Returns a property that reads a member of the law."""

    def read(self: Any) -> Any:
        return self._kept(getattr(self.law, name))

    read.__name__ = name
    read.__doc__ = f"The {name} of the law, derived where it was not given."
    return property(read)


def forwarded(relaxation: type[Relaxation], name: str) -> Any:
    """Returns the property or method that hands a further member of the law on."""
    original = inspect.getattr_static(relaxation, name)
    own = (base.__dict__[name].__doc__ for base in relaxation.__mro__ if name in base.__dict__)
    doc = next(filter(None, own), None)
    if isinstance(original, property | functools.cached_property):
        return property(of_law(name).fget, doc=doc)

    @functools.wraps(original)
    def method(self: Any, *args: Any) -> Any:
        given = (self._wide(self._argument(arg)) for arg in args)
        return self._kept(getattr(self.law, name)(*given))

    method.__doc__ = doc
    return method
