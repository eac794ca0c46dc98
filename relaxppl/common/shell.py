"""What the two hosts' distribution classes share: everything but random numbers and validation."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, ClassVar, Protocol, runtime_checkable

from relaxppl import ops, relaxations
from relaxppl.common.members import Readable, Support, forwarded, of_law
from relaxppl.ops import Array
from relaxppl.relaxations.base import OneOf, Relaxation

REQUIREMENTS = {
    "positive": "positive (> 0)",
    "positive_vector": "positive (> 0) everywhere",
    "negative": "negative (< 0)",
    "above_one": "greater than 1",
    "real": "a finite real number",
    "real_vector": "finite real numbers",
    "real_matrix": "finite real numbers",
    "real_matrices": "finite real numbers",
    "unit_interval": "in the interval [0, 1]",
    "unit_interval_vector": "in the interval [0, 1] everywhere",
    "simplex": "on the simplex: nonnegative, with sum 1 along the last dimension",
    "lower_cholesky": "lower-triangular with a positive diagonal",
    "positive_definite": "symmetric and positive definite",
    "correlation_matrix": "a correlation matrix: symmetric, positive definite, of unit diagonal",
    "correlation_cholesky": (
        "the Cholesky factor of a correlation matrix: lower-triangular, with a positive diagonal "
        "and rows of unit norm"
    ),
}
"""What a constraint asks of a parameter, in words, by its name in the relaxations."""


class Shell:
    """The host-neutral half of a distribution whose mathematics is a :class:`Relaxation`.

    A host's ``RelaxedDistribution`` derives from this and from the host's own base class; it calls
    :meth:`adopt` for every subclass, and defines the hooks at the end.
    """

    relaxation: ClassVar[type[Relaxation]] = Relaxation
    """As the class says, else the one of the class's name."""
    arg_constraints: dict[str, Any]
    support: Any
    has_enumerate_support: Any
    batch_shape: Any
    event_shape: Any

    def __init_subclass__(cls, **kwargs: Any) -> None:
        if cls.relaxation is Relaxation:
            cls.relaxation = vars(relaxations).get(cls.__name__, Relaxation)
        super().__init_subclass__(**kwargs)

    @classmethod
    def adopt(cls, constraint: Callable[[Any], Any], derived: type) -> None:
        """Gives a new class the constructor, constraints and members that its relaxation promises.

        :param constraint: maps a relaxation's name for a constraint to the host's object.
        :param derived: the host's type of attributes that are derived and so not validated.
        """
        relaxation = cls.relaxation
        parameters = relaxation.flat_parameters()
        cls.arg_constraints = Readable(
            {p.name: constraint(p.constraint) for p in parameters if not p.static},
            {
                p.name
                for p in parameters
                if inspect.getattr_static(relaxation, p.name, None) is None
            },
        )
        cls.support = Support(constraint)
        cls.has_enumerate_support = (
            property(lambda self: self.law.enumerable)
            if isinstance(relaxation.enumerable, property)
            else relaxation.enumerable
        )
        for entry in relaxation.parameters:
            for p in entry.flat() if isinstance(entry, OneOf) else ():
                setattr(cls, p.name, derived(of_law(p.name).fget))
        for name in relaxation.further:
            setattr(cls, name, forwarded(relaxation, name))
        if cls.__doc__ is None:
            cls.__doc__ = relaxation.__doc__

        def __init__(self: Any, *args: Any, **kwargs: Any) -> None:  # noqa: N807
            self._init(*args, **kwargs)

        __init__.__signature__ = relaxation.signature()  # type: ignore[attr-defined]
        __init__.__doc__ = f"Takes {', '.join(p.name for p in parameters)}."
        cls.__init__ = __init__  # type: ignore[method-assign]

    def take(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Relaxation:
        """Sets the given parameters as attributes and returns the law at them.

        :raises TypeError: for an unknown or a repeated argument.
        :raises ValueError: for a missing or a surplus one, or for shapes that do not fit.
        """
        given = self.relaxation.bind(args, kwargs)
        static = self.relaxation.static_names()
        given |= self._arrays({n: v for n, v in given.items() if n not in static})
        self.__dict__.update(given)
        law = self.relaxation(**given)
        law.check_shapes()
        law.check()
        return law

    @classmethod
    def infer_shapes(cls, *args: Any, **kwargs: Any) -> tuple[Any, Any]:
        """Returns the batch shape and the event shape that parameters of these shapes make.

        :param args: the shape of each parameter, as the constructor takes the parameters.
        :param kwargs: the same by name; static parameters are what they are.
        :raises ValueError: for a missing or a surplus one, or for shapes that do not fit.
        """
        given = cls.relaxation.bind(args, kwargs)
        static = cls.relaxation.static_names()
        # A default that is a number stands for itself.
        shapes = {n: v if isinstance(v, tuple) else () for n, v in given.items() if n not in static}
        law = cls.relaxation(**(given | {n: cls._of_shape(shape) for n, shape in shapes.items()}))
        law.check_shapes()
        return law.batch_shape, law.event_shape

    @property
    def law(self) -> Relaxation:
        """The relaxation at this distribution's parameters."""
        given = self.__dict__
        names = self.relaxation.parameter_names()
        return self._law_at({n: given[n] for n in names if given.get(n) is not None})

    def _law_at(self, given: dict[str, Any]) -> Relaxation:
        # Half precision is how values are kept. Its float has neither the range for logarithms and
        # quotients by a temperature nor the kernels for half of the functions.
        wide = {n: self._wide(v) for n, v in given.items()}
        law = self.relaxation(**wide)
        narrow = [v for n, v in given.items() if wide[n] is not v]
        if narrow:
            law.rounding = ops.eps(narrow[0])
        return law

    def _kept(self, result: Array) -> Array:
        """Returns what was computed in a wider float in the parameters' own."""
        reference = self.reference
        return result if self._wide(reference) is reference else self._narrow(result)

    @property
    def compact_law(self) -> Relaxation:
        """The same with parameters as they were given, not expanded to the batch shape."""
        return self.law

    @property
    def reference(self) -> Array:
        """A parameter: an array of the dtype, and on the device, of all of them."""
        given = self.__dict__
        return next(given[n] for n in self.arg_constraints if given.get(n) is not None)

    @property
    def dtype(self) -> Any:
        """The dtype of the parameters and of the samples."""
        return self.reference.dtype

    def from_noise(self, noise: Array) -> Array:
        """Returns the sample that the noise makes.

        :param noise: (*sample_shape, *batch_shape, *noise_shape), as ``draw_noise`` returns.
        :returns: (*sample_shape, *batch_shape, *event_shape).
        """
        law = self.compact_law
        value = law.sample(self._wide(noise))
        kept = self._kept(value)
        return kept if kept is value else law.rounded(kept)

    def _log_prob(self, value: Array) -> Array:
        law = self.compact_law
        rank = len(value.shape) - law.event_rank
        shape = law.broadcast_shapes(self.batch_shape, value.shape[:rank])
        if self._wide(value) is value:
            return ops.broadcast_to(law.log_prob(value), shape)
        within = self._wide(law.rounded(value))
        return self._kept(ops.broadcast_to(law.log_prob(within), shape))

    @property
    def mean(self) -> Array:
        """The mean, (*batch_shape, *event_shape)."""
        mean = self._kept(self.compact_law.mean())
        return ops.broadcast_to(mean, self.batch_shape + self.event_shape)

    @property
    def variance(self) -> Array:
        """The variance of each coordinate, (*batch_shape, *event_shape)."""
        variance = self._kept(self.compact_law.variance())
        return ops.broadcast_to(variance, self.batch_shape + self.event_shape)

    def entropy(self) -> Array:
        """Returns the entropy, (*batch_shape)."""
        return ops.broadcast_to(self._kept(self.compact_law.entropy()), self.batch_shape)

    def cdf(self, value: Any) -> Array:
        """Returns P(X <= value) of a scalar event."""
        return self._kept(self.law.cdf(self._wide(self._value(value))))

    def icdf(self, q: Any) -> Array:
        """Returns the least x with P(X <= x) >= q, of a scalar event."""
        return self._kept(self.law.icdf(self._wide(self._value(q))))

    def harden(self, value: Any) -> Array:
        """Returns the discrete value that a relaxed one stands for, of the same shape."""
        return self._kept(self.law.harden(self._value(value)))

    def enumerate_support(self, expand: bool = True) -> Array:
        """Returns the values of a discrete law, (cardinality, *batch_shape, *event_shape).

        :param expand: False leaves batch dimensions of 1 where the values do not differ within it.
        """
        values = self._kept(self.compact_law.enumerate_support())
        batch, event = tuple(self.batch_shape), tuple(self.event_shape)
        missing = 1 + len(batch) + len(event) - len(values.shape)
        values = values.reshape(tuple(values.shape[:1]) + (1,) * missing + tuple(values.shape[1:]))
        return ops.broadcast_to(values, values.shape[:1] + batch + event) if expand else values

    def refusal(self, name: str, value: Array) -> ValueError:
        """Returns the error that says what a parameter must be, and what it is."""
        key = next(p.constraint for p in self.relaxation.flat_parameters() if p.name == name)
        requirement = REQUIREMENTS.get(key, key.replace("_", " "))
        shape = tuple(value.shape)
        return ValueError(
            f"{type(self).__name__}: {name} must be {requirement}, "
            f"got {'values ' if shape else ''}{value}{f' of shape {shape}' if shape else ''}"
        )

    # The hooks of a host.

    @staticmethod
    def _of_shape(shape: tuple[int, ...]) -> Array:
        """Returns an array of that shape, of any values."""
        raise NotImplementedError

    def _arrays(self, given: dict[str, Any]) -> dict[str, Array]:
        """Returns parameters as arrays of one floating dtype, on one device."""
        raise NotImplementedError

    def _value(self, value: Any) -> Array:
        """Returns a value as a floating array, at least of the parameters' precision."""
        raise NotImplementedError

    def _argument(self, value: Any) -> Array:
        """Returns an argument of a further method as an array of its own dtype."""
        raise NotImplementedError

    def _wide(self, value: Any) -> Any:
        """Returns an array of half precision as one of float32, and anything else as it is."""
        raise NotImplementedError

    def _narrow(self, result: Array) -> Array:
        """Returns a floating array in the parameters' dtype, and any other as it is."""
        raise NotImplementedError


@runtime_checkable
class Hardening(Protocol):
    """A distribution of someone else's whose values stand for discrete ones."""

    def harden(self, value: Any) -> Any:
        """Returns the discrete value that a relaxed one stands for, of the same shape."""


def is_exact(fn: Any) -> bool:
    """Returns whether a distribution is one of this package's with exactly discrete values."""
    return isinstance(fn, Shell) and fn.law.discrete


def hardens(fn: Any) -> bool:
    """Returns whether it is known which discrete values those of a distribution stand for."""
    return fn.relaxation.hardens() if isinstance(fn, Shell) else isinstance(fn, Hardening)


def is_of_weights(fn: Any) -> bool:
    """Returns whether a distribution is of numbers that weights on their values make."""
    return isinstance(fn, Shell) and fn.relaxation.of_weights


def probs_or_logits(distribution: Any) -> dict[str, Any]:
    """Returns the one of probs and logits that a discrete distribution was given, by name.

    :param distribution: a host's or this package's discrete distribution.
    """
    own = vars(getattr(distribution, "_categorical", distribution))
    # The hosts keep the other one too, once it was asked for.
    kept = [n for n in ("logits", "probs") if n in distribution.arg_constraints and n in own]
    given = "probs" if own.get("_param", own) is own.get("probs") else next(iter(kept), "logits")
    return {given: getattr(distribution, given)}
