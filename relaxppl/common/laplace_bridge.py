"""The Laplace bridge between a Dirichlet and a Gaussian on the softmax's plane.

MacKay, 1998 (Machine Learning 33); Hobbhahn et al., 2020 (arXiv:2003.01227).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from relaxppl import ops
from relaxppl.ops import Array


@dataclass(frozen=True)
class Bridge:
    """The bridge on a host.

    :param dirichlet: its class of Dirichlet laws.
    :param logistic_normal: the class of LogisticNormalSoftmax on it.
    :param expanded: its class of expanded distributions.
    :param array: makes an array of what a Dirichlet of it was given.
    """

    dirichlet: Any
    logistic_normal: Any
    expanded: Any
    array: Callable[[Any], Array]

    def laplace_bridge(self, dirichlet: Any) -> Any:
        """Returns the softmax of a Gaussian that approximates a Dirichlet.

        The Gaussian's full covariance is kept: on the plane of zero sum it is that of independent
        coordinates of variance 1 / concentration, which is how the result holds it.

        :param dirichlet: a Dirichlet, (*batch, K), expanded or not.
        :returns: a LogisticNormalSoftmax of the same shapes, with independent scales.
        :raises TypeError: if it is not a Dirichlet.
        :raises ValueError: if K < 2.

        MacKay, 1998 (Machine Learning 33); Hobbhahn et al., 2020 (arXiv:2003.01227).
        """
        base = self._unexpanded(dirichlet)
        if not isinstance(base, self.dirichlet):
            raise TypeError(f"laplace_bridge takes a Dirichlet, got {type(base).__name__}")
        concentration = _of_shape(self.array(base.concentration), dirichlet)
        return self.logistic_normal(*gaussian_of_dirichlet(concentration))

    def laplace_bridge_inverse(self, logistic_normal: Any) -> Any:
        """Returns the Dirichlet that approximates the softmax of a Gaussian.

        :param logistic_normal: a LogisticNormalSoftmax, (*batch, K), expanded or not.
        :returns: a Dirichlet of the same shapes.
        :raises TypeError: if it is not a LogisticNormalSoftmax.

        MacKay, 1998 (Machine Learning 33); Hobbhahn et al., 2020 (arXiv:2003.01227).
        """
        base = self._unexpanded(logistic_normal)
        if not isinstance(base, self.logistic_normal):
            raise TypeError(
                f"laplace_bridge_inverse takes a LogisticNormalSoftmax, got {type(base).__name__}"
            )
        concentration = dirichlet_of_gaussian(base.loc, base.zero_sum_variance)
        return self.dirichlet(_of_shape(concentration, logistic_normal))

    def _unexpanded(self, fn: Any) -> Any:
        while isinstance(fn, self.expanded):
            fn = fn.base_dist
        return fn


def _of_shape(array: Array, fn: Any) -> Array:
    return ops.broadcast_to(array, tuple(fn.batch_shape) + tuple(fn.event_shape))


def gaussian_of_dirichlet(concentration: Array) -> tuple[Array, Array]:
    """Returns the Gaussian whose softmax approximates a Dirichlet.

    The bridge's Gaussian lives on the plane of zero sum, with mean log a_k - mean(log a) and
    covariance S_kl = d_kl / a_k - (1/a_k + 1/a_l - sum_u (1/a_u) / K) / K. That is C diag(1/a) C
    with C = I - 11'/K: the projection of *independent* coordinates of variance 1 / a_k. The softmax
    forgets what the projection removes, so that independent scales give the same law on the
    simplex, with its full covariance, and without a singular matrix.

    :param concentration: a, (..., K).
    :returns: the mean (..., K), and the standard deviations a^(-1/2) (..., K) of independent
        coordinates.
    """
    log_a = ops.log(concentration)
    size = ops.size(concentration)
    mean = log_a - ops.sum(log_a, axis=-1, keepdims=True) / size
    return mean, ops.exp(-0.5 * log_a)


def dirichlet_of_gaussian(loc: Array, zero_sum_variance: Array) -> Array:
    """Returns the concentration of the Dirichlet that the softmax of a Gaussian approximates.

    a_k = (1 - 2/K + exp(mu_k) sum_l exp(-mu_l) / K^2) / S_kk, the inverse of
    :func:`gaussian_of_dirichlet`.

    :param loc: the mean, (..., K); a constant added to it changes nothing.
    :param zero_sum_variance: the variances S_kk on the plane of zero sum, (..., K).
    :returns: (..., K).
    """
    size = ops.size(loc)
    spread = ops.exp(loc + ops.logsumexp(-loc, axis=-1, keepdims=True))
    return (1.0 - 2.0 / size + spread / size**2) / zero_sum_variance
