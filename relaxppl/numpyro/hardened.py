"""The hardened draws of a relaxed distribution, as a NumPyro distribution."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
from numpyro.distributions import Distribution, ExpandedDistribution


class Hardened(Distribution):
    """Draws the discrete value of a relaxed draw, and scores it by the discrete law it relaxes.

    :param relaxed: a distribution with a method ``harden``.
    :param discrete: the discrete distribution that it stands for, of the same event shape.
    """

    pytree_data_fields = ("relaxed", "discrete")

    def __init__(self, relaxed: Any, discrete: Any) -> None:
        self.relaxed = relaxed
        self.discrete = discrete
        super().__init__(relaxed.batch_shape, relaxed.event_shape, validate_args=False)

    @property
    def support(self) -> Any:
        return self.discrete.support

    def sample(self, key: jax.Array, sample_shape: tuple[int, ...] = ()) -> jax.Array:
        source = self.relaxed
        while isinstance(source, ExpandedDistribution):
            source = source.base_dist
        return source.harden(self.relaxed.sample(key, sample_shape))

    def log_prob(self, value: Any, intermediates: Any = None) -> jax.Array:
        return self.discrete.log_prob(value)


class Coupled(Hardened):
    """Draws a relaxed value, and scores the discrete value that it stands for by the discrete law.

    :param relaxed: the distribution of the draws.
    :param discrete: the law of the discrete values, of the same batch shape.
    :param harden: from a relaxed value to the discrete one.
    """

    pytree_aux_fields = ("harden",)

    def __init__(self, relaxed: Any, discrete: Any, harden: Callable[[Any], Any]) -> None:
        self.harden = harden
        super().__init__(relaxed, discrete)

    @property
    def support(self) -> Any:
        return self.relaxed.support

    def sample(self, key: jax.Array, sample_shape: tuple[int, ...] = ()) -> jax.Array:
        return self.relaxed.sample(key, sample_shape)

    def log_prob(self, value: Any, intermediates: Any = None) -> jax.Array:
        return self.discrete.log_prob(self.harden(value))
