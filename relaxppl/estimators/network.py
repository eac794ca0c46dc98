"""The small network that control variates and baselines use by default."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

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
        return (scale * apply(parameters, flat)).reshape(batch + (1,) * event_rank)

    return network


def in_order(
    parameters: Mapping[str, Array],
    hard: Array,
    rank: int,
    before: np.ndarray,
    side: Array | None = None,
    scale: Array | float = 1.0,
) -> Callable[[Array], Array]:
    """Returns the network as a function of the relaxed steps of a value.

    For each step it sees that step's relaxed value, the hard ones of the steps before it, and which
    step it is: nothing of the later steps, whose laws jump with this one.

    :param hard: the encoded value, (..., T) or (..., T, K).
    :param rank: how many of these dimensions belong to one value: 1 or 2.
    :param before: whether step s (column) is before step t (row), (T, T).
    :param side: as of :func:`on_site`.
    :param scale: as of :func:`on_site`, with ``rank`` further dimensions of size one.
    """
    steps = len(before)

    def network(x: Array) -> Array:
        shape = tuple(x.shape)
        batch = shape[: len(shape) - rank]
        now, known = (y.reshape((*batch, 1, steps, -1)) for y in (x, hard))
        same = ops.like(x, np.eye(steps)[..., None])
        seen = now * same + known * ops.like(x, before[..., None])
        which = ops.broadcast_to(ops.like(x, np.eye(steps)), (*batch, steps, steps))
        inputs = [seen.reshape((*batch, steps, -1)), which]
        if side is not None:
            lead, last = tuple(side.shape)[:-1], side.shape[-1]
            given = side.reshape((*lead, *(1,) * (len(batch) + 1 - len(lead)), last))
            inputs.append(ops.broadcast_to(given, (*batch, steps, side.shape[-1])))
        found = apply(parameters, ops.concatenate(inputs, axis=-1))
        return scale * found.reshape((*batch, steps) + (1,) * (rank - 1))

    return network
