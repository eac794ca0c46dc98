"""The parameters of a relaxation: what they are called, and how a constructor takes them."""

from __future__ import annotations

import functools
import inspect
import itertools
from dataclasses import dataclass
from typing import Any, ClassVar, TypeAlias


@dataclass(frozen=True)
class Parameter:
    """One parameter of a relaxation.

    :param name: its keyword.
    :param constraint: a key of the shells' tables of constraints.
    :param event_rank: how many of its rightmost dimensions belong to the event.
    :param default: the value when the caller gives none; None means that it must be given.
    :param static: whether it is a plain Python value (an int, a bool), not an array.
    """

    name: str
    constraint: str
    event_rank: int = 0
    default: Any = None
    static: bool = False


@dataclass(frozen=True)
class OneOf:
    """Alternative parameterisations, exactly one of which is given.

    :param alternatives: the alternatives; each is one parameter or a tuple of parameters that go
        together.
    """

    alternatives: tuple[Parameter | tuple[Parameter, ...], ...]

    def groups(self) -> tuple[tuple[Parameter, ...], ...]:
        """Returns every alternative as a tuple of parameters."""
        return tuple(a if isinstance(a, tuple) else (a,) for a in self.alternatives)

    def flat(self) -> tuple[Parameter, ...]:
        """Returns the parameters of all alternatives."""
        return tuple(itertools.chain.from_iterable(self.groups()))


Parameters: TypeAlias = tuple[Parameter | OneOf, ...]


class Parametrised:
    """A class that says what its parameters are."""

    parameters: ClassVar[Parameters]
    """In the order of the constructor's arguments."""

    @classmethod
    @functools.cache
    def flat_parameters(cls) -> tuple[Parameter, ...]:
        """Returns every parameter of every alternative, in the constructor's order."""
        entries = (e.flat() if isinstance(e, OneOf) else (e,) for e in cls.parameters)
        return tuple(itertools.chain.from_iterable(entries))

    @classmethod
    @functools.cache
    def parameter_names(cls) -> tuple[str, ...]:
        """Returns the names of :meth:`flat_parameters`."""
        return tuple(p.name for p in cls.flat_parameters())

    @classmethod
    @functools.cache
    def static_names(cls) -> frozenset[str]:
        """Returns the names of the parameters that are plain Python values."""
        return frozenset(p.name for p in cls.flat_parameters() if p.static)

    @classmethod
    @functools.cache
    def argument_names(cls) -> tuple[str, ...]:
        """Returns the names of the arguments that :meth:`signature` takes by position."""
        both = inspect.Parameter.POSITIONAL_OR_KEYWORD
        found = cls.signature().parameters.values()
        return tuple(p.name for p in found if p.kind is both)[1:]

    @classmethod
    @functools.cache
    def signature(cls) -> inspect.Signature:
        """Returns the signature of the hosts' constructors, ``self`` first.

        Required parameters come before alternatives and those with a default.
        """
        required = [e for e in cls.parameters if isinstance(e, Parameter) and e.default is None]
        either = inspect.Parameter.POSITIONAL_OR_KEYWORD
        arguments = [inspect.Parameter("self", either)]
        for p in cls.flat_parameters():
            default = inspect.Parameter.empty if p in required else p.default
            arguments.append(inspect.Parameter(p.name, either, default=default))
        only = inspect.Parameter.KEYWORD_ONLY
        arguments.append(inspect.Parameter("validate_args", only, default=None))
        return inspect.Signature(arguments)

    @classmethod
    def bind(cls, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        """Returns the given parameters by name, defaults filled in.

        :raises TypeError: for an unknown or a repeated argument.
        :raises ValueError: when a parameter is missing, or two alternatives are given.
        """
        names = cls.argument_names()
        if len(args) > len(names) or not kwargs.keys() <= set(names[len(args) :]):
            # Its message says which argument is unknown or comes twice.
            cls.signature().bind_partial(None, *args, **kwargs)
        bound = dict(zip(names, args, strict=False)) | kwargs
        given = {name: value for name, value in bound.items() if value is not None}
        for entry in cls.parameters:
            if isinstance(entry, OneOf):
                cls._check_one_of(entry, given)
            elif entry.name not in given:
                if entry.default is None:
                    raise ValueError(f"{cls.__name__} needs the parameter {entry.name!r}")
                given[entry.name] = entry.default
            elif isinstance(entry.default, bool) and not isinstance(given[entry.name], bool):
                got = given[entry.name]
                raise ValueError(f"{cls.__name__}: {entry.name} must be True or False, got {got!r}")
        return given

    @classmethod
    def _check_one_of(cls, entry: OneOf, given: dict[str, Any]) -> None:
        groups = entry.groups()
        names = [" with ".join(p.name for p in group) for group in groups]
        chosen = [group for group in groups if any(p.name in given for p in group)]
        if len(chosen) != 1:
            got = " and ".join(p.name for group in chosen for p in group if p.name in given)
            raise ValueError(
                f"{cls.__name__} takes exactly one of {', '.join(names)}; got {got or 'none'}"
            )
        missing = [p.name for p in chosen[0] if p.name not in given]
        if missing:
            raise ValueError(f"{cls.__name__} needs {missing[0]} beside {chosen[0][0].name}")
