"""The hardened draws of a relaxed distribution, as a Pyro distribution."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import torch
from pyro.distributions import TorchDistribution


class Hardened(TorchDistribution):
    """Draws the discrete value of a relaxed draw, and scores it by the discrete law it relaxes.

    :param relaxed: a distribution with a method ``harden``.
    :param discrete: the discrete distribution that it stands for, of the same event shape.
    """

    arg_constraints: ClassVar[dict[str, Any]] = {}
    has_rsample = False

    def __init__(self, relaxed: Any, discrete: Any) -> None:
        self.relaxed = relaxed
        self.discrete = discrete
        super().__init__(relaxed.batch_shape, relaxed.event_shape, validate_args=False)

    @property
    def support(self) -> Any:
        return self.discrete.support

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        shape = torch.Size(batch_shape)
        return Hardened(self.relaxed.expand(shape), self.discrete.expand(shape))

    def sample(self, sample_shape: Any = ()) -> torch.Tensor:
        return self.relaxed.harden(self.relaxed.sample(torch.Size(sample_shape)))

    def log_prob(self, value: torch.Tensor) -> torch.Tensor:
        return self.discrete.log_prob(value)


class Coupled(Hardened):
    """Draws a relaxed value, and scores the discrete value that it stands for by the discrete law.

    :param relaxed: the distribution of the draws.
    :param discrete: the law of the discrete values, of the same batch shape.
    :param harden: from a relaxed value to the discrete one.
    """

    def __init__(self, relaxed: Any, discrete: Any, harden: Callable[[Any], Any]) -> None:
        self.harden = harden
        super().__init__(relaxed, discrete)

    @property
    def support(self) -> Any:
        return self.relaxed.support

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        shape = torch.Size(batch_shape)
        return Coupled(self.relaxed.expand(shape), self.discrete.expand(shape), self.harden)

    def sample(self, sample_shape: Any = ()) -> torch.Tensor:
        return self.relaxed.sample(torch.Size(sample_shape))

    def log_prob(self, value: torch.Tensor) -> torch.Tensor:
        return self.discrete.log_prob(self.harden(value))
