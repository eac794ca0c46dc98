"""The Laplace bridge between Dirichlet and LogisticNormalSoftmax."""

from __future__ import annotations

import jax.numpy as jnp
from numpyro import distributions as dist

from relaxppl.common.laplace_bridge import Bridge
from relaxppl.numpyro.distributions import LogisticNormalSoftmax

_BRIDGE = Bridge(dist.Dirichlet, LogisticNormalSoftmax, dist.ExpandedDistribution, jnp.asarray)
laplace_bridge = _BRIDGE.laplace_bridge
laplace_bridge_inverse = _BRIDGE.laplace_bridge_inverse
