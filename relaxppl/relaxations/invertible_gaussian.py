"""The invertible Gaussian reparameterisation: a softmax with a remainder, of K - 1 Gaussians.

Potapczynski et al., 2020 (arXiv:1912.09588): y = loc + scale * e, e standard normal in R^(K-1),
z_k = exp(y_k / T) / (sum_j exp(y_j / T) + delta), z_K the remainder.
"""

from __future__ import annotations

from relaxppl import ops
from relaxppl.ops import Array
from relaxppl.ops.constants import LOG_2PI
from relaxppl.relaxations.base import Parameter, Relaxation
from relaxppl.relaxations.binary import smallest
from relaxppl.relaxations.gaussian_softmax import argmax_probs, softmax_moments


class InvertibleGaussian(Relaxation):
    """z = softmax([y / T, log delta]), y = loc + scale * e: a value on the simplex of K classes.

    log p(z) = sum_{k<K} log N(y_k; loc_k, scale_k) + (K - 1) log T - sum_{k<=K} log z_k at
    y_k = T (log z_k - log z_K + log delta), a density with respect to dz_1 ... dz_{K-1}.

    At a small temperature a coordinate of z may round to the least value that is kept, and y is
    lost with it: let Normal(loc, scale).to_event(1) be the site instead and make z of it with
    :meth:`soft`.

    :param temperature: T, positive, (*batch,).
    :param loc: the means of y, (*batch, K-1).
    :param scale: the standard deviations of y, positive, (*batch, K-1).
    :param delta: the constant in the denominator, positive, (*batch,).
    :raises ValueError: if loc and scale differ in their last dimension, or temperature, scale or
        delta is not positive.

    Potapczynski et al., 2020 (arXiv:1912.09588).
    """

    parameters = (
        Parameter("temperature", "positive"),
        Parameter("loc", "real_vector", 1),
        Parameter("scale", "positive_vector", 1),
        Parameter("delta", "positive", default=1.0),
    )
    support = "simplex"
    event_rank = 1
    noise = "normal"
    hard_law = "OneHotCategorical"
    further = ("soft", "probs", "latent_of")

    @property
    def event_shape(self) -> tuple[int, ...]:
        return (ops.size(self.loc) + 1,)

    @property
    def noise_shape(self) -> tuple[int, ...]:
        return (ops.size(self.loc),)

    def check(self) -> None:
        if ops.size(self.loc) != ops.size(self.scale) or ops.size(self.loc) < 1:
            raise ValueError(
                f"InvertibleGaussian: loc and scale need one last dimension K - 1 >= 1, got shapes "
                f"{tuple(self.loc.shape)} and {tuple(self.scale.shape)}"
            )

    def latent(self, noise: Array) -> Array:
        """Returns y = loc + scale * noise, of the noise's shape (..., K-1)."""
        return self.loc + self.scale * noise

    def soft(self, latent: Array) -> Array:
        """Returns z of a Gaussian y, no coordinate of which is rounded to zero.

        :param latent: y, (..., K-1).
        :returns: (..., K).
        """
        log_delta = ops.log(self.delta)[..., None]
        scaled = latent / self.temperature[..., None]
        batch = self.broadcast_shapes(scaled.shape[:-1], self.delta.shape)
        scaled = ops.broadcast_to(scaled, batch + tuple(scaled.shape[-1:]))
        rest = ops.broadcast_to(log_delta, (*batch, 1))
        inside = ops.softmax(ops.concatenate([scaled, rest], axis=-1), axis=-1)
        return ops.at_least(inside, smallest(inside))

    def latent_of(self, value: Array) -> Array:
        """Returns the Gaussian y of z, the inverse of :meth:`soft`.

        :param value: z, (..., K).
        :returns: (..., K-1).
        """
        log_z = ops.log(ops.clip(value, smallest(value), 1.0))
        ratio = log_z[..., :-1] - log_z[..., -1:] + ops.log(self.delta)[..., None]
        return self.temperature[..., None] * ratio

    def rounded(self, value: Array) -> Array:
        return ops.at_least(value, smallest(value))

    def sample(self, noise: Array) -> Array:
        return self.soft(self.latent(noise))

    def log_prob(self, value: Array) -> Array:
        size = ops.size(self.loc)
        standard = (self.latent_of(value) - self.loc) / self.scale
        gaussian = -0.5 * standard**2 - ops.log(self.scale) - 0.5 * LOG_2PI
        log_z = ops.log(ops.clip(value, smallest(value), 1.0))
        jacobian = size * ops.log(self.temperature) - ops.sum(log_z, axis=-1)
        return ops.sum(gaussian, axis=-1) + jacobian

    def _moments(self) -> tuple[Array, Array, Array]:
        temperature = self.temperature[..., None]
        mean, scale = self.loc / temperature, self.scale / temperature
        mean, scale, rest = ops.broadcast_arrays(mean, scale, ops.log(self.delta)[..., None])
        last = rest[..., :1]
        mean = ops.concatenate([mean, last], axis=-1)
        return softmax_moments(mean, ops.concatenate([scale, ops.zeros_like(last)], axis=-1))

    def mean(self) -> Array:
        return self._moments()[0]

    def variance(self) -> Array:
        mean, second, _ = self._moments()
        return ops.clip(second - mean**2, 0.0, None)

    def entropy(self) -> Array:
        size, log_temperature = ops.size(self.loc), ops.log(self.temperature)
        gaussian = 0.5 * size * (1.0 + LOG_2PI) + ops.sum(ops.log(self.scale), axis=-1)
        mean_log = ops.sum(self.loc, axis=-1) / self.temperature + ops.log(self.delta)
        mean_log = mean_log - (size + 1) * self._moments()[2]
        return gaussian - size * log_temperature + mean_log

    @property
    def probs(self) -> Array:
        """The probabilities of the discrete law behind it, P(z_i is the largest), (*batch, K)."""
        # y / T against log delta, times T: the temperature only moves the threshold.
        threshold = (self.temperature * ops.log(self.delta))[..., None]
        return argmax_probs(self.loc, self.scale, threshold)

    def harden(self, value: Array) -> Array:
        return ops.one_hot(ops.argmax(value, axis=-1), ops.size(value), value)
