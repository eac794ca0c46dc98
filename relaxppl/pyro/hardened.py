"""The hardened draws of a relaxed distribution, as a Pyro distribution."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from pyro.distributions import TorchDistribution
from pyro.distributions.torch_distribution import ExpandedDistribution

from relaxppl.common import hardened as common


class Hardened(common.Hardened, TorchDistribution):
    arg_constraints: ClassVar[dict[str, Any]] = {}
    has_rsample = False
    expanded = ExpandedDistribution

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        shape = torch.Size(batch_shape)
        return Hardened(self.relaxed.expand(shape), self.discrete.expand(shape))


class Coupled(common.Coupled, Hardened):
    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        shape = torch.Size(batch_shape)
        return Coupled(self.relaxed.expand(shape), self.discrete.expand(shape), self.harden)
