"""Logits from a network of the data: what of the guide's last layer needs no host.

The network makes features of rows of the data; each site that lies in the rows' plate has a linear
layer of its own from the features to its logits, (F, size) with a bias. The layer's first weights
are normal with standard deviation 0.1 / sqrt(F), so that the first logits are near those that the
guide would have had without a network.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from relaxppl import ops
from relaxppl.common.auto.errors import no_rows, two_networks
from relaxppl.ops import Array

_FIRST = 0.1


@dataclass(frozen=True)
class Network:
    """A network of the data and what of the model's arguments it sees.

    :param features: from rows, (N, ...), to features, (N, F).
    :param inputs: from the model's arguments to the rows.
    """

    features: Callable[[Array], Array]
    inputs: Callable[..., Array]


def network_of(
    network: Callable[[Array], Array] | None,
    inputs: Callable[..., Array] | None,
    amortize: object,
) -> Network | None:
    """Returns a guide's network, if it has one.

    :param network: what makes the features.
    :param inputs: what it sees of the model's arguments; None for the first of them.
    :param amortize: the guide's argument of that name.
    :raises ValueError: if both are given, or inputs alone.
    """
    if network is None:
        if inputs is not None:
            raise ValueError(
                "AutoDiscrete: inputs says what a network sees, but there is no network: give "
                "network= too"
            )
        return None
    if amortize is not None:
        raise two_networks()
    return Network(network, _first_argument if inputs is None else inputs)


def row_plate(batch: tuple[int, ...], frames: tuple[Any, ...]) -> str | None:
    """Returns the plate along whose elements a site's rows lie, its leftmost; None without one.

    :param batch: of the site.
    :param frames: of its plates.
    """
    return next((f.name for f in frames if f.dim == -len(batch)), None)


def first_weights(features: int, size: int, seed: int) -> np.ndarray:
    """Returns the first weights of a site's layer, (F, size)."""
    scale = _FIRST / math.sqrt(features)
    return scale * np.random.default_rng(seed).standard_normal((features, size))


def logits_of(features: Array, weights: Array, bias: Array, name: str) -> Array:
    """Returns a site's logits, (N, *inner).

    :param features: (N, F).
    :param weights: (F, size).
    :param bias: (*inner), of the size.
    :param name: the site.
    :raises ValueError: if the features have another shape.
    """
    if len(features.shape) != 2:
        raise no_rows(name, tuple(features.shape))
    flat = ops.matmul(features, weights)
    return flat.reshape((features.shape[0], *bias.shape)) + bias


def _first_argument(rows: Array, *args: Any, **kwargs: Any) -> Array:
    return rows
