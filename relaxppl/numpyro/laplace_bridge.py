"""The Laplace bridge between Dirichlet and LogisticNormalSoftmax."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from numpyro import distributions as dist

from relaxppl.numpyro.distributions import LogisticNormalSoftmax
from relaxppl.relaxations import laplace_bridge as bridge


def laplace_bridge(dirichlet: dist.Distribution) -> LogisticNormalSoftmax:
    """Returns the softmax of a Gaussian that approximates a Dirichlet.

    The Gaussian's full covariance is kept: on the plane of zero sum it is that of independent
    coordinates of variance 1 / concentration, which is how the result holds it.

    :param dirichlet: a Dirichlet, (*batch, K), expanded or not.
    :returns: a LogisticNormalSoftmax of the same shapes, with independent scales.
    :raises TypeError: if it is not a Dirichlet.
    :raises ValueError: if K < 2.

    MacKay, 1998 (Machine Learning 33); Hobbhahn et al., 2020 (arXiv:2003.01227).
    """
    base: Any = dirichlet
    while isinstance(base, dist.ExpandedDistribution):
        base = base.base_dist
    if not isinstance(base, dist.Dirichlet):
        raise TypeError(f"laplace_bridge takes a Dirichlet, got {type(base).__name__}")
    a = jnp.broadcast_to(base.concentration, dirichlet.batch_shape + dirichlet.event_shape)
    return LogisticNormalSoftmax(*bridge.gaussian_of_dirichlet(a))


def laplace_bridge_inverse(logistic_normal: dist.Distribution) -> dist.Dirichlet:
    """Returns the Dirichlet that approximates the softmax of a Gaussian.

    :param logistic_normal: a LogisticNormalSoftmax, (*batch, K), expanded or not.
    :returns: a Dirichlet of the same shapes.
    :raises TypeError: if it is not a LogisticNormalSoftmax.

    MacKay, 1998 (Machine Learning 33); Hobbhahn et al., 2020 (arXiv:2003.01227).
    """
    base: Any = logistic_normal
    while isinstance(base, dist.ExpandedDistribution):
        base = base.base_dist
    if not isinstance(base, LogisticNormalSoftmax):
        raise TypeError(
            f"laplace_bridge_inverse takes a LogisticNormalSoftmax, got {type(base).__name__}"
        )
    a = bridge.dirichlet_of_gaussian(base.loc, base.zero_sum_variance)
    shape = logistic_normal.batch_shape + logistic_normal.event_shape
    return dist.Dirichlet(jnp.broadcast_to(a, shape))
