"""The small network that control variates and baselines use by default."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from relaxppl import ops
from relaxppl.ops import Array

Initializer = dict[str, np.ndarray]


def initial(features: int, hidden: int = 16, seed: int = 0) -> Initializer:
    """Returns the initial parameters of the network: its output is zero at first.

    :param features: how many numbers the network sees at once.
    :param hidden: how many hidden units it has.
    :param seed: of NumPy's generator: the same parameters on both hosts.
    """
    rng = np.random.default_rng(seed)
    return {
        "weight_in": rng.normal(size=(features, hidden)) / math.sqrt(max(features, 1)),
        "bias_in": np.zeros(hidden),
        "weight_out": np.zeros(hidden),
        "weight_skip": np.zeros(features),
        "bias_out": np.zeros(()),
    }


def apply(parameters: Mapping[str, Array], inputs: Array) -> Array:
    """Returns bias + skip . x + out . tanh(in x), (...).

    :param parameters: as :func:`initial` names them.
    :param inputs: (..., features).
    """
    units = (
        2.0 * ops.sigmoid(2.0 * (inputs @ parameters["weight_in"] + parameters["bias_in"])) - 1.0
    )
    return (
        units @ parameters["weight_out"]
        + inputs @ parameters["weight_skip"]
        + parameters["bias_out"]
    )


def on_site(
    parameters: Mapping[str, Array],
    event_rank: int,
    side: Array | None = None,
    scale: Array | float = 1.0,
    function: Callable[..., Any] = apply,
) -> Callable[[Array], Array]:
    """Returns the network as a function of a site's relaxed value.

    :param event_rank: how many rightmost dimensions of the value the network sees together; its
        output keeps them with size one.
    :param side: further inputs that lie upstream of the site, (*batch, features), or None.
    :param scale: multiplies the output, (*batch): of a site whose costs a subsampled plate scales,
        that scale, or the network would have to grow to it by the optimiser's small steps.
    """

    def network(x: Array) -> Array:
        shape = tuple(x.shape)
        batch = shape[: len(shape) - event_rank]
        flat = x.reshape((*batch, math.prod(shape[len(batch) :])))
        if side is not None:
            flat = ops.concatenate(
                [flat, ops.broadcast_to(side, (*batch, side.shape[-1]))], axis=-1
            )
        return (scale * function(parameters, flat)).reshape(batch + (1,) * event_rank)

    return network
