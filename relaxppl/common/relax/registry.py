"""From classes of discrete distributions to the factories of their relaxations."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from relaxppl.common.shell import Shell, probs_or_logits
from relaxppl.relaxations.base import OneOf

Factory = Callable[[Any, Any], Any]
"""Takes a discrete distribution and a temperature, and returns what stands in for it."""


@dataclass(frozen=True)
class OfWeights:
    """A factory of relaxed numbers, at whose sites stand the weights of the values.

    :param make: of a distribution and a temperature.
    """

    make: Factory

    def __call__(self, distribution: Any, temperature: Any) -> Any:
        return self.make(distribution, temperature)


class Registry:
    """From classes of discrete distributions to factories of their relaxations."""

    def __init__(self) -> None:
        self._factories: dict[type, Factory] = {}

    def register(self, cls: type, factory: Factory, replace: bool = False) -> None:
        """Makes a factory the relaxation of a discrete class and of its subclasses in ``relax``.

        :param cls: a class of discrete distributions.
        :param factory: takes an instance of it, without the wrappers of to_event, expand and mask,
            and a temperature; returns a distribution with the same event shape.
        :param replace: whether it may take the place of an earlier one.
        :raises TypeError: if cls is not a class or the factory cannot be called.
        :raises ValueError: if the class has a factory already and replace is False.
        """
        if not isinstance(cls, type) or not callable(factory):
            raise TypeError(
                "register_relaxation takes a class of distributions and a function of a "
                f"distribution and a temperature, got {cls!r} and {factory!r}"
            )
        if cls in self._factories and not replace:
            raise ValueError(
                f"{cls.__name__} has a relaxation already; pass replace=True to put another in "
                "its place"
            )
        self._factories[cls] = factory

    def find(self, cls: type) -> Factory | None:
        """Returns the factory of the first registered class in the method resolution order."""
        return next((self._factories[c] for c in cls.__mro__ if c in self._factories), None)


def factory_of_class(cls: Any, name: str = "...") -> Factory:
    """Returns the factory of a class that takes temperatures, probs or logits, and what else the
    site's own distribution has by the same name.

    :param cls: one of this package's classes.
    :param name: the site that the class is meant for, for errors.
    :raises TypeError: if it is not one; the factory raises it if parameters are missing.
    """
    if not issubclass(cls, Shell):
        raise TypeError(
            f"relax: config maps {name!r} to the class {cls.__name__}, which is none of this "
            f"package's distributions: give a function (distribution, temperature) -> distribution"
        )
    relaxation = cls.relaxation
    single = [p for p in relaxation.parameters if not isinstance(p, OneOf)]
    temperatures = [p.name for p in single if p.name.startswith("temperature")]
    needed = [p.name for p in single if p.name not in temperatures and p.default is None]
    alternatives = len(single) < len(relaxation.parameters)
    flat = {p.name for p in relaxation.flat_parameters()}

    def factory(distribution: Any, temperature: Any) -> Any:
        own = distribution.relaxation if isinstance(distribution, Shell) else None
        theirs = () if own is None else own.parameter_names()
        missing = [n for n in needed if n not in theirs]
        if missing or (alternatives and "logits" not in flat):
            needs = ", ".join(missing or sorted(flat - set(temperatures)))
            raise TypeError(
                f"{cls.__name__} cannot be made of probs or logits and a temperature alone (it "
                f"needs {needs}): give a function, config={{{name!r}: lambda d, temperature: "
                f"{cls.__name__}(...)}}, of the site's distribution d"
            )
        given = {n: getattr(distribution, n) for n in needed}
        given |= probs_or_logits(distribution) if alternatives else {}
        return cls(**dict.fromkeys(temperatures, temperature), **given)

    return factory
