"""What a relaxation promises: the contract that both hosts' distribution classes are made from."""

from __future__ import annotations

import functools
import inspect
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

import numpy as np

from relaxppl import ops
from relaxppl.ops import Array


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


class Relaxation:
    """The law of a relaxation at given parameters, written once for both backends.

    An instance holds arrays of one backend as attributes named as the parameters; whichever
    alternative of a :class:`OneOf` was not given is derived from the other by the subclass.
    Parameters are aligned for broadcasting (each has at least its event rank) but need not be
    expanded to the batch shape.

    A subclass sets the class attributes below, and defines :meth:`sample` and :meth:`log_prob`.
    """

    parameters: ClassVar[Parameters]
    """In the order of the constructor's arguments."""
    support: ClassVar[Any]
    """A key of the shells' tables of constraints, or a tuple of a key and its arguments.

    A property where a parameter decides.
    """
    event_rank: ClassVar[int] = 0
    noise: ClassVar[str] = "logistic"
    """The law of the noise: uniform, logistic, gumbel or normal."""
    reparameterized: ClassVar[bool] = True
    """Whether gradients reach the parameters through a sample."""
    discrete: ClassVar[bool] = False
    """Whether the forward values, and so the law, are those of a discrete distribution."""
    enumerable: ClassVar[bool] = False
    """Whether :meth:`enumerate_support` lists the values; a property where a parameter decides."""
    hard_law: ClassVar[str | None] = None
    """The law of hardened samples where it is that of ``probs``: Bernoulli or OneHotCategorical.

    Its logits are ``logits`` where the law is discrete. A property where a parameter decides.
    """
    in_steps: ClassVar[str | None] = None
    """By which name the estimators know a law of several steps, each given those before it."""
    unrelaxed: ClassVar[str] = ""
    """Of a discrete law that ``relax`` has nothing for: why, and what would do."""
    of_weights: ClassVar[bool] = False
    """Whether a value is the number that weights on the simplex make, by a method ``value_of``.

    Unless its values are discrete, a site then holds the weights, which have a density.
    """
    rounding: float | None = None
    """The relative rounding of values, where they are kept in a narrower float than parameters."""
    further: ClassVar[tuple[str, ...]] = ()
    """Methods and properties, beyond those of every distribution, that the hosts' classes have."""

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            """A parameter."""

    def __init__(self, **given: Any) -> None:
        for name, value in given.items():
            setattr(self, name, value)

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

    @property
    def batch_shape(self) -> tuple[int, ...]:
        """The broadcast shape of the parameters without their event dimensions."""
        return self.broadcast_shapes(*(shape for _, shape in self._batch_shapes()))

    def _batch_shapes(self) -> Iterator[tuple[Parameter, tuple[int, ...]]]:
        for parameter in self.flat_parameters():
            if parameter.name in self.__dict__ and not parameter.static:
                shape = tuple(self.__dict__[parameter.name].shape)
                yield parameter, shape[: len(shape) - parameter.event_rank]

    @staticmethod
    def broadcast_shapes(*shapes: tuple[int, ...]) -> tuple[int, ...]:
        """Returns the shape that these broadcast to."""
        distinct = {tuple(shape) for shape in shapes if shape}
        if len(distinct) > 1:
            return np.broadcast_shapes(*distinct)
        return distinct.pop() if distinct else ()

    def check_shapes(self) -> None:
        """Checks that every parameter has its event dimensions, and that the rest broadcast.

        :raises ValueError: naming the parameters and their shapes.
        """
        name = type(self).__name__
        for parameter, _ in self._batch_shapes():
            shape = tuple(self.__dict__[parameter.name].shape)
            if len(shape) < parameter.event_rank:
                raise ValueError(
                    f"{name}: {parameter.name} needs at least {parameter.event_rank} dimension(s) "
                    f"for the event, got shape {shape}"
                )
        try:
            _ = self.batch_shape
        except ValueError:
            shapes = ", ".join(f"{p.name} {shape}" for p, shape in self._batch_shapes())
            raise ValueError(
                f"{name}: the batch shapes of its parameters do not broadcast: {shapes}"
            ) from None

    def full(self, x: Array) -> Array:
        """Returns x, one number per element of the batch, with the batch's whole shape."""
        return ops.broadcast_to(x, self.batch_shape)

    @property
    def event_shape(self) -> tuple[int, ...]:
        """The shape of one event; a subclass of positive event rank defines it."""
        if self.event_rank:
            raise NotImplementedError(f"{type(self).__name__} does not define its event shape")
        return ()

    @property
    def noise_shape(self) -> tuple[int, ...]:
        """The shape of the noise of one event."""
        return self.event_shape

    def check(self) -> None:
        """Checks what shapes and static values alone decide.

        :raises ValueError: naming the parameter, what was given and what is allowed.
        """

    def latent(self, noise: Array) -> Array:
        """Returns the latent variable that the noise makes.

        :param noise: (..., *batch_shape, *noise_shape), drawn from the law named by ``noise``.
        """
        raise NotImplementedError(f"{type(self).__name__} names no latent variable")

    def soft(self, latent: Array) -> Array:
        """Returns the relaxed value of the latent variable, (..., *batch_shape, *event_shape)."""
        raise NotImplementedError(f"{type(self).__name__} names no latent variable")

    def hard_of(self, latent: Array) -> Array:
        """Returns the discrete value of the latent variable, of the relaxed one's shape."""
        raise NotImplementedError(f"{type(self).__name__} names no latent variable")

    def latent_given_hard(self, hard: Array, noise: Array) -> Array:
        """Returns the latent variable given its discrete value, differentiable in the parameters.

        :param hard: the discrete value.
        :param noise: of the same law and shape as that of :meth:`latent`, independent of the value.
        """
        raise NotImplementedError(f"{type(self).__name__} names no latent variable given its value")

    def sample(self, noise: Array) -> Array:
        """Returns the value that the noise makes.

        :param noise: (..., *batch_shape, *noise_shape), drawn from the law named by ``noise``.
        :returns: (..., *batch_shape, *event_shape).
        """
        raise NotImplementedError(f"{type(self).__name__} defines no sample")

    def rounded(self, value: Array) -> Array:
        """Returns a sample that was rounded to a narrower float, moved to where log_prob holds.

        :param value: (..., *batch_shape, *event_shape).
        :returns: of the same shape and dtype.
        """
        return value

    def log_prob(self, value: Array) -> Array:
        """Returns the log density (mass, or mixed density) of a value.

        :param value: (..., *batch_shape, *event_shape).
        :returns: (..., *batch_shape).
        """
        raise NotImplementedError(f"{type(self).__name__} defines no log_prob")

    def _need_discrete(self, why: str) -> None:
        if not self.discrete:
            raise NotImplementedError(f"{type(self).__name__}: {why}")

    def mean(self) -> Array:
        """Returns the mean, (*batch_shape, *event_shape)."""
        raise NotImplementedError(f"{type(self).__name__} has no mean in closed form")

    def variance(self) -> Array:
        """Returns the variance of each coordinate, (*batch_shape, *event_shape)."""
        raise NotImplementedError(f"{type(self).__name__} has no variance in closed form")

    def entropy(self) -> Array:
        """Returns the entropy, (*batch_shape)."""
        raise NotImplementedError(f"{type(self).__name__} has no entropy in closed form")

    def cdf(self, value: Array) -> Array:
        """Returns P(X <= value) of a scalar event."""
        raise NotImplementedError(f"{type(self).__name__} has no cdf{self._why_not()}")

    def icdf(self, probability: Array) -> Array:
        """Returns the quantile of a scalar event."""
        raise NotImplementedError(f"{type(self).__name__} has no quantiles{self._why_not()}")

    def _why_not(self) -> str:
        return ": its event is a vector" if self.event_rank else " in closed form"

    def enumerate_support(self) -> Array:
        """Returns the values of a discrete law, (cardinality, *event_shape).

        Where they differ within the batch: (cardinality, *batch, *event_shape), with a batch that
        broadcasts to the batch shape.
        """
        raise NotImplementedError(f"{type(self).__name__} has no finite support to enumerate")

    @classmethod
    def hardens(cls) -> bool:
        """Returns whether :meth:`harden` is defined."""
        return cls.harden is not Relaxation.harden

    def harden(self, value: Array) -> Array:
        """Returns the discrete value that a relaxed value stands for, of the same shape."""
        raise NotImplementedError(f"{type(self).__name__} relaxes no discrete value")
