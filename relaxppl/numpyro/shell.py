"""The NumPyro class that every relaxation is made into."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpyro.distributions import Distribution, ExpandedDistribution, constraints
from numpyro.distributions.batch_util import promote_batch_shape
from numpyro.distributions.util import lazy_property, validate_sample
from numpyro.util import is_prng_key, not_jax_tracer

import relaxppl.numpyro.bijections  # noqa: F401  Registers them.
from relaxppl.common.shell import Shell
from relaxppl.numpyro.constraints import constraint, wide
from relaxppl.relaxations.base import Relaxation


class RelaxedDistribution(Shell, Distribution):
    """A NumPyro distribution whose mathematics is a :class:`~relaxppl.relaxations.base.Relaxation`.

    A subclass names its relaxation; constructor, constraints, pytree fields and support follow.
    """

    pytree_data_fields: tuple[str, ...] = ()

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.adopt(constraint, Derived)
        cls.pytree_data_fields = tuple(cls.arg_constraints)
        static = tuple(p.name for p in cls.relaxation.flat_parameters() if p.static)
        cls.pytree_aux_fields = (*static, "_ranks")
        reparameterized = cls.relaxation.reparameterized
        cls.reparametrized_params = list(cls.arg_constraints) if reparameterized else []

    @property
    def has_rsample(self) -> bool:
        # The host asks for all constraints of the instance, which leave out what was not given.
        return bool(self.reparametrized_params)

    def _init(self, *args: Any, validate_args: bool | None = None, **kwargs: Any) -> None:
        law = self.take(args, kwargs)
        self._settle(law)
        super().__init__(law.batch_shape, law.event_shape, validate_args=validate_args)

    def validate_args(self, strict: bool = True) -> None:
        # The host's message does not say what is allowed.
        with jax.ensure_compile_time_eval():
            for name, value in self.get_args().items():
                if value.size == 0:  # The host's constraints on vectors fail on an empty batch.
                    continue
                requirement = self.arg_constraints[name]
                matrix = requirement is constraints.positive_definite
                valid = requirement(wide(value) if matrix else value)
                if not not_jax_tracer(valid):
                    if strict:
                        raise RuntimeError("Cannot validate arguments inside jitted code.")
                elif not np.all(valid):
                    raise self.refusal(name, value)

    @property
    def law(self) -> Relaxation:
        return self._law_at(self._aligned())

    def _aligned(self) -> dict[str, Any]:
        # vmap and scan put a dimension in front of every parameter. Behind it a single temperature
        # needs as many dimensions as the logits, or it would be taken for one of their rows.
        names = self.relaxation.parameter_names()
        given: dict[str, Any] = {n: self.__dict__[n] for n in names if n in self.__dict__}
        given = {n: v for n, v in given.items() if v is not None}
        for name, rank, missing in self.__dict__.get("_ranks", ()):
            value: Any = given.get(name)  # None is a transformation's placeholder.
            added = np.ndim(value) - rank
            if added > 0 and missing:
                shape = value.shape[:added] + (1,) * missing + value.shape[added:]
                given[name] = value.reshape(shape)
        return given

    def _settle(self, law: Relaxation) -> None:
        """Takes the parameters' shapes, as they are, for those that they were made with."""
        given, batch = self.__dict__, law.batch_shape
        events = ((p.name, p.event_rank) for p in law.flat_parameters() if not p.static)
        ranks = ((n, np.ndim(given[n]), event) for n, event in events if given.get(n) is not None)
        self._ranks = tuple((n, rank, len(batch) - (rank - event)) for n, rank, event in ranks)

    @property
    def batch_shape(self) -> tuple[int, ...]:
        # Inside vmap, and after it, the parameters have another shape than they were made with.
        try:
            return self.law.batch_shape
        except AttributeError:  # A transformation's placeholder stands for a parameter.
            return self._batch_shape

    def expand(self, batch_shape: Sequence[int]) -> Distribution:
        batch_shape = tuple(batch_shape)
        return self if batch_shape == self.batch_shape else _Expanded(self, batch_shape)

    def _validate_sample(self, value: Any) -> Any:
        # Inside jit too a constant value stays one that can be looked at.
        with jax.ensure_compile_time_eval():
            return super()._validate_sample(value) if jnp.size(value) else jnp.asarray(True)

    def draw_noise(self, key: jax.Array, sample_shape: tuple[int, ...] = ()) -> jax.Array:
        """Returns the noise of one sample, (*sample_shape, *batch_shape, *noise_shape).

        Of parameters in half precision it is of float32.

        :param key: a PRNG key.
        :param sample_shape: the shape of the independent draws.
        """
        law, dtype = self.law, self._wide(self.reference).dtype
        shape = tuple(sample_shape) + law.batch_shape + law.noise_shape
        if law.noise in ("uniform", "logistic"):
            # jax.random.uniform is 0 for a whole cell of the line, and jax.random.logistic has an
            # atom of 2^-23 at -87 of it in float32. Here a point inside that cell stands for it.
            low = float(jnp.finfo(dtype).eps) / 4
            u = jax.random.uniform(key, shape, dtype, minval=low)
            return u if law.noise == "uniform" else jnp.log(u) - jnp.log1p(-u)
        return getattr(jax.random, law.noise)(key, shape, dtype)

    def sample(self, key: jax.Array, sample_shape: tuple[int, ...] = ()) -> jax.Array:
        assert is_prng_key(key)
        return self.from_noise(self.draw_noise(key, sample_shape))

    @validate_sample
    def log_prob(self, value: Any) -> jax.Array:
        return self._log_prob(self._value(value))

    @staticmethod
    def _of_shape(shape: tuple[int, ...]) -> jax.Array:
        return jnp.asarray(np.empty(shape))

    def _arrays(self, given: dict[str, Any]) -> dict[str, Any]:
        # A list is as weak as the numbers in it: the arrays decide the precision.
        typed = [value for value in given.values() if not isinstance(value, list | tuple)]
        dtype = jnp.result_type(float, *typed)
        return {name: _as_array(value, dtype) for name, value in given.items()}

    def _value(self, value: Any) -> jax.Array:
        return jnp.asarray(value, dtype=jnp.result_type(self.dtype, value))

    def _argument(self, value: Any) -> jax.Array:
        return jnp.asarray(value)

    def _wide(self, value: Any) -> Any:
        return wide(value)

    def _narrow(self, result: jax.Array) -> jax.Array:
        return result.astype(self.dtype) if jnp.issubdtype(result.dtype, jnp.floating) else result


class _Expanded(ExpandedDistribution):
    """The host's, whose ``enumerate_support`` takes the values for scalars that do not vary."""

    def expand(self, batch_shape: Sequence[int]) -> Distribution:
        batch_shape = tuple(batch_shape)
        return self if batch_shape == self.batch_shape else _Expanded(self, batch_shape)

    def enumerate_support(self, expand: bool = True) -> jax.Array:
        values = jnp.asarray(self.base_dist.enumerate_support(expand=False))
        batch, event = tuple(self.batch_shape), tuple(self.event_shape)
        missing = 1 + len(batch) + len(event) - values.ndim
        values = values.reshape(values.shape[:1] + (1,) * missing + values.shape[1:])
        return jnp.broadcast_to(values, values.shape[:1] + batch + event) if expand else values


@promote_batch_shape.register
def _promote(d: RelaxedDistribution) -> RelaxedDistribution:
    promoted, aligned = copy.copy(d), d._aligned()
    law = d.relaxation(**aligned)
    promoted.__dict__.update(aligned)
    promoted._settle(law)
    promoted._batch_shape = law.batch_shape
    return promoted


@promote_batch_shape.register
def _promote_expanded(d: _Expanded) -> _Expanded:
    # The new dimensions are the base's, and go in front of those that it is expanded to.
    base, old = _promote(d.base_dist), d.base_dist._batch_shape
    added = base.batch_shape[: len(base.batch_shape) - len(old)]
    between = len(d.batch_shape) - len(old)
    axes = tuple(range(len(added), len(added) + between))
    base = _promote(jax.tree.map(lambda x: jnp.expand_dims(x, axes), base))
    return _Expanded(base, (*added, *d.batch_shape))


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
