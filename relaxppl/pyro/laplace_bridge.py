"""The Laplace bridge between Dirichlet and LogisticNormalSoftmax."""

from __future__ import annotations

import torch
from pyro import distributions as dist

from relaxppl.common.laplace_bridge import Bridge
from relaxppl.pyro.distributions import LogisticNormalSoftmax

_BRIDGE = Bridge(dist.Dirichlet, LogisticNormalSoftmax, dist.ExpandedDistribution, torch.as_tensor)
laplace_bridge = _BRIDGE.laplace_bridge
laplace_bridge_inverse = _BRIDGE.laplace_bridge_inverse
