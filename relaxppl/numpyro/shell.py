"""The NumPyro class that every relaxation is made into."""

from __future__ import annotations

import functools
import inspect
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from numpyro.distributions import Distribution
from numpyro.distributions.util import lazy_property, validate_sample
from numpyro.util import is_prng_key, not_jax_tracer

from relaxppl.numpyro.constraints import CONSTRAINTS, constraint
from relaxppl.relaxations.base import OneOf, Relaxation


class RelaxedDistribution(Distribution):
    """A NumPyro distribution whose mathematics is a :class:`~relaxppl.relaxations.base.Relaxation`.

    A subclass names its relaxation; constructor, constraints, pytree fields and support follow.
    """

    relaxation: ClassVar[type[Relaxation]]
    pytree_data_fields: tuple[str, ...] = ()

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        relaxation = cls.relaxation
        parameters = relaxation.flat_parameters()
        arrays = [p for p in parameters if not p.static]
        cls.arg_constraints = {p.name: CONSTRAINTS[p.constraint] for p in arrays}
        cls.reparametrized_params = list(cls.arg_constraints) if relaxation.reparameterized else []
        cls.pytree_data_fields = tuple(cls.arg_constraints)
        cls.pytree_aux_fields = tuple(p.name for p in parameters if p.static)
        cls.has_enumerate_support = relaxation.enumerable
        if isinstance(relaxation.enumerable, property):
            cls.has_enumerate_support = property(lambda self: self.law.enumerable)
        for name in relaxation.further:
            setattr(cls, name, _forwarded(relaxation, name))
        for entry in relaxation.parameters:
            if isinstance(entry, OneOf):
                for p in (p for group in entry.groups() for p in group):
                    setattr(cls, p.name, _derived(p.name))
        if cls.__doc__ is None:
            cls.__doc__ = relaxation.__doc__

        def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
            self._init(*args, **kwargs)

        __init__.__signature__ = _with_self(relaxation)  # type: ignore[attr-defined]
        __init__.__doc__ = f"Takes {', '.join(p.name for p in parameters)}."
        cls.__init__ = __init__  # type: ignore[method-assign]

    def _init(self, *args: Any, validate_args: bool | None = None, **kwargs: Any) -> None:
        given = self.relaxation.bind(args, kwargs)
        static = {p.name for p in self.relaxation.flat_parameters() if p.static}
        arrays = {name: value for name, value in given.items() if name not in static}
        dtype = jnp.result_type(float, *arrays.values()) if arrays else jnp.result_type(float)
        ranks = {p.name: p.event_rank for p in self.relaxation.flat_parameters()}
        for name, value in given.items():
            if name not in static:
                value = _as_array(value, dtype)
                if value.ndim < ranks[name]:
                    raise ValueError(
                        f"{type(self).__name__}: {name} needs at least {ranks[name]} dimension(s) "
                        f"for the event, got shape {value.shape}"
                    )
            setattr(self, name, value)
        law = self.law
        law.check()
        super().__init__(law.batch_shape, law.event_shape, validate_args=validate_args)

    @property
    def law(self) -> Relaxation:
        """The relaxation at this distribution's parameters."""
        names = (p.name for p in self.relaxation.flat_parameters())
        given = {n: self.__dict__[n] for n in names if self.__dict__.get(n) is not None}
        return self.relaxation(**given)

    def validate_args(self, strict: bool = True) -> None:
        # The host's message does not say what is allowed.
        with jax.ensure_compile_time_eval():
            for name, value in self.get_args().items():
                valid = self.arg_constraints[name](value)
                if not not_jax_tracer(valid):
                    if strict:
                        raise RuntimeError("Cannot validate arguments inside jitted code.")
                elif not np.all(valid):
                    raise ValueError(
                        f"{type(self).__name__} distribution got invalid {name} parameter: "
                        f"it must satisfy {self.arg_constraints[name]}, got {value}"
                    )

    @property
    def support(self) -> Any:
        return constraint(self.law.support)

    @property
    def dtype(self) -> Any:
        """The dtype of the parameters and of the samples."""
        return next(self.__dict__[n] for n in self.arg_constraints if n in self.__dict__).dtype

    def draw_noise(self, key: jax.Array, sample_shape: tuple[int, ...] = ()) -> jax.Array:
        """Returns the noise of one sample, (*sample_shape, *batch_shape, *noise_shape).

        :param key: a PRNG key.
        :param sample_shape: the shape of the independent draws.
        """
        shape = tuple(sample_shape) + self.batch_shape + self.law.noise_shape
        if self.relaxation.noise == "logistic":
            # jax.random.logistic puts an atom of 2^-23 at -87 in float32: its uniform draws are 0
            # for a whole cell. Here a point inside that cell stands for it.
            low = float(jnp.finfo(self.dtype).eps) / 4
            u = jax.random.uniform(key, shape, self.dtype, minval=low)
            return jnp.log(u) - jnp.log1p(-u)
        return getattr(jax.random, self.relaxation.noise)(key, shape, self.dtype)

    def from_noise(self, noise: jax.Array) -> jax.Array:
        """Returns the sample that the noise makes, (*sample_shape, *batch_shape, *event_shape)."""
        return self.law.sample(noise)

    def sample(self, key: jax.Array, sample_shape: tuple[int, ...] = ()) -> jax.Array:
        assert is_prng_key(key)
        return self.from_noise(self.draw_noise(key, sample_shape))

    @validate_sample
    def log_prob(self, value: Any) -> jax.Array:
        log_prob = self.law.log_prob(jnp.asarray(value, dtype=self.dtype))
        batch = jnp.broadcast_shapes(
            self.batch_shape, jnp.shape(value)[: jnp.ndim(value) - self.event_dim]
        )
        return jnp.broadcast_to(log_prob, batch)

    @property
    def mean(self) -> jax.Array:
        return jnp.broadcast_to(self.law.mean(), self.batch_shape + self.event_shape)

    @property
    def variance(self) -> jax.Array:
        return jnp.broadcast_to(self.law.variance(), self.batch_shape + self.event_shape)

    def entropy(self) -> jax.Array:
        return jnp.broadcast_to(self.law.entropy(), self.batch_shape)

    def cdf(self, value: Any) -> jax.Array:
        return self.law.cdf(jnp.asarray(value, dtype=self.dtype))

    def icdf(self, q: Any) -> jax.Array:
        return self.law.icdf(jnp.asarray(q, dtype=self.dtype))

    def harden(self, value: Any) -> jax.Array:
        """Returns the discrete value that a relaxed one stands for, of the same shape."""
        return self.law.harden(jnp.asarray(value, dtype=self.dtype))

    def enumerate_support(self, expand: bool = True) -> jax.Array:
        values = self.law.enumerate_support()
        # A support that differs within the batch comes with the batch's dimensions.
        expand |= values.ndim > 1 + self.event_dim
        if values.ndim == 1 + self.event_dim:
            values = values.reshape((-1,) + (1,) * len(self.batch_shape) + self.event_shape)
        if expand:
            values = jnp.broadcast_to(
                values, values.shape[:1] + self.batch_shape + self.event_shape
            )
        return values


def _as_array(value: Any, dtype: Any) -> jax.Array:
    # An array that needs no conversion stays the same object, and a constant stays a constant
    # inside jit: a KL rule that holds at one temperature must see that two are the same.
    if isinstance(value, jax.Array) and value.dtype == dtype:
        return value
    if any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(value)):
        return jnp.asarray(value, dtype=dtype)
    with jax.ensure_compile_time_eval():
        return jnp.asarray(value, dtype=dtype)


class Derived(lazy_property):
    """An alternative parameter that was not given, derived from the one that was.

    The host skips attributes of this type when it validates and flattens a distribution. Nothing
    is cached: a value derived outside a transformation must not outlive it.
    """

    def __get__(self, instance: Any, obj_type: Any = None) -> Any:
        return self if instance is None else self.wrapped(instance)


def _forwarded(relaxation: type[Relaxation], name: str) -> Any:
    original = getattr(relaxation, name)

    if isinstance(original, property):
        return property(lambda self: getattr(self.law, name), doc=original.__doc__)

    @functools.wraps(original)
    def method(self: Any, *args: Any) -> Any:
        return getattr(self.law, name)(*(jnp.asarray(arg) for arg in args))

    return method


def _derived(name: str) -> Derived:
    def parameter(self: Any) -> Any:
        return getattr(self.law, name)

    parameter.__name__ = name
    parameter.__doc__ = f"The parameter {name}, derived from the alternative if that was given."
    return Derived(parameter)


def _with_self(relaxation: type[Relaxation]) -> inspect.Signature:
    signature = relaxation.signature()
    first = inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return signature.replace(parameters=[first, *signature.parameters.values()])
