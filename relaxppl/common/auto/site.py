"""A discrete site as a guide has it: its law, the shapes of its logits and the first of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from relaxppl.ops import Array

IMPOSSIBLE = -1e4
"""The logit of a value that a law never takes: its probability is exactly zero."""

_LEAST = -10.0


@dataclass(frozen=True)
class Site:
    """A discrete site and the law that the guide has for it.

    :param kind: binary, one-hot, integer or count.
    :param frames: of its plates.
    :param event_dim: of the values.
    :param event: the rightmost part of the logits' shape that belongs to one value.
    :param init: the first logits, over the plates' full sizes.
    :param cls: the class of the law.
    :param path: whether the model has a chain there, one site for the whole path.
    """

    kind: str
    frames: tuple[Any, ...]
    event_dim: int
    event: tuple[int, ...]
    init: np.ndarray
    cls: Callable[..., Any]
    path: bool = False

    @property
    def ordered(self) -> bool:
        """Whether the values have an order."""
        return self.kind in ("binary", "count")

    @property
    def batch(self) -> tuple[int, ...]:
        """The batch of the logits, over the plates' full sizes."""
        return self.init.shape[: self.init.ndim - len(self.event)]

    def law(self, logits: Array) -> Any:
        """Returns the site's distribution."""
        fn = self.cls(logits=logits)
        return fn.to_event(self.event_dim - fn.event_dim)


def start(
    shape: tuple[int, ...], scale: float, seed: int, prior: np.ndarray | None = None
) -> np.ndarray:
    """Returns a guide's first logits.

    Without a prior they are zero. Those of a count start from its prior, no value's further than
    e^-10 below the likeliest one's, so that each can still be reached. Noise breaks symmetries.

    :param shape: of the logits.
    :param scale: the noise's standard deviation.
    :param seed: of the noise.
    :param prior: log probabilities that broadcast with the shape.
    :returns: float64, of the shape.
    """
    noise = scale * np.random.default_rng(seed).standard_normal(shape)
    if prior is None:
        return noise
    prior = np.broadcast_to(prior, shape)
    highest = prior.max(axis=-1, keepdims=True)
    return np.where(np.isneginf(prior), IMPOSSIBLE, np.maximum(prior - highest, _LEAST) + noise)
