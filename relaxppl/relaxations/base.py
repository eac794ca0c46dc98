"""What a relaxation promises: the contract that both hosts' distribution classes are made from."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from relaxppl import ops
from relaxppl.ops import Array
from relaxppl.relaxations.parameters import OneOf, Parameter, Parameters, Parametrised

__all__ = ["OneOf", "Parameter", "Parameters", "Relaxation"]


class Relaxation(Parametrised):
    """The law of a relaxation at given parameters, written once for both backends.

    An instance holds arrays of one backend as attributes named as the parameters; whichever
    alternative of a :class:`OneOf` was not given is derived from the other by the subclass.
    Parameters are aligned for broadcasting (each has at least its event rank) but need not be
    expanded to the batch shape.

    A subclass sets the class attributes below, and defines :meth:`sample` and :meth:`log_prob`.
    """

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
