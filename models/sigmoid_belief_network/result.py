"""What a run is asked for, where it begins and what it returns, whichever host made it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from models.common.networks import Weights
from models.data import pixel_logits

LATENTS = 200
"""Binary latents in a layer, unless told otherwise."""


@dataclass(frozen=True)
class Settings:
    """What a host needs to know to train and to evaluate.

    :param layers: stochastic layers, 1 or 2.
    :param latents: binary latents in a layer.
    :param hidden: tanh units in the one hidden layer of each map; 0 for linear maps.
    :param steps: optimiser steps.
    :param batch_size: images in a subsample.
    :param learning_rate: of Adam.
    :param passes: draws per image for a bound.
    :param variance_images: images that the gradient's variance is averaged over.
    :param variance_draws: gradients at each of them; 0 measures no variance.
    :param variance_steps: how long what an estimator learns adapts to the point of the comparison.
    :param progress: whether to draw a progress bar.
    """

    layers: int = 1
    latents: int = LATENTS
    hidden: int = 0
    steps: int = 2000
    batch_size: int = 100
    learning_rate: float = 1e-3
    passes: int = 20
    variance_images: int = 200
    variance_draws: int = 200
    variance_steps: int = 500
    progress: bool = True


QUICK = Settings(
    latents=20, steps=200, passes=2, variance_images=50, variance_draws=20, variance_steps=20
)
"""A run that shows how things look, in seconds."""


class Trainer(Protocol):
    """One estimator in training, on one host; the two hosts' classes have this face."""

    def advance(self, steps: int) -> NDArray[np.floating]:
        """Take steps; returns their losses, the negative ELBO per training image."""

    def bound(self, images: NDArray[np.float32], passes: int) -> float:
        """The ELBO per image of the discrete model under the discrete guide."""

    def trained(self) -> dict[str, Weights]:
        """The weights where training stands, named as initial_weights names them."""

    def variance(self, weights: dict[str, Weights]) -> float:
        """The gradient's variance in the logits of an image's codes, at these weights.

        What the estimator learns or remembers first adapts to them.
        """

    def learned(self) -> dict[str, float]:
        """The estimator's own learned numbers, by parameter name."""


@dataclass(frozen=True)
class Reached:
    """What an estimator had reached at one moment of its training.

    :param steps: optimiser steps until then.
    :param seconds: what those took, at the median time of a step.
    :param train_bound: discrete ELBO per training image, in nats.
    :param test_bound: per held-out image; None if none is held out.
    """

    steps: int
    seconds: float
    train_bound: float
    test_bound: float | None


@dataclass(frozen=True)
class Row:
    """One estimator's training with one seed.

    :param estimator: its key.
    :param seed: of the weights and of every draw.
    :param losses: of every step, shape (steps,).
    :param at_steps: after the steps asked for.
    :param at_seconds: after the seconds asked for; None if none were.
    :param step_seconds: median time of a step, compilation left out.
    :param variance: sum over an image's logits of the variance of the gradient, mean over images;
        None for the seeds after the first, and if not asked for.
    :param learned: the estimator's learned numbers, at the end.
    """

    estimator: str
    seed: int
    losses: NDArray[np.float64]
    at_steps: Reached
    at_seconds: Reached | None
    step_seconds: float
    variance: float | None = None
    learned: Mapping[str, float] = field(default_factory=dict)


def initial_weights(
    seed: int, images: NDArray[np.floating], settings: Settings
) -> dict[str, Weights]:
    """The weights at which both hosts begin.

    They are uniform within one over the square root of the number of inputs. The bias of the
    pixels makes their probabilities the training images' means; the other biases are zero.

    :param seed: of the draws.
    :param images: training images, (n, D).
    :param settings: the layers, their latents and their maps.
    :returns: For each layer k from 1 up, the maps "infer{k}" (upwards) and "generate{k}"
        (downwards): "w1" and "b1", and "w2" and "b2" if there is a hidden layer.
    """
    rng = np.random.default_rng(seed)
    pixel_bias = pixel_logits(images)
    made: dict[str, Weights] = {}
    for layer in range(1, settings.layers + 1):
        below = images.shape[1] if layer == 1 else settings.latents
        for name, inputs, outputs in (
            (f"infer{layer}", below, settings.latents),
            (f"generate{layer}", settings.latents, below),
        ):
            widths = [inputs, *[settings.hidden] * (settings.hidden > 0), outputs]
            weights: Weights = {}
            for index, (rows, columns) in enumerate(pairwise(widths), 1):
                bound = 1.0 / np.sqrt(rows)
                drawn = rng.uniform(-bound, bound, (rows, columns))
                weights[f"w{index}"] = drawn.astype(np.float32)
                weights[f"b{index}"] = np.zeros(columns, np.float32)
            made[name] = weights
        if layer == 1:
            made["generate1"][f"b{len(widths) - 1}"] = pixel_bias
    return made


def own_numbers(params: Mapping[str, Any]) -> dict[str, float]:
    """Of everything that training moved, the numbers that say what an estimator learned."""
    ends = (".temperature", ".eta", ".average")
    return {name: float(value) for name, value in params.items() if name.endswith(ends)}


def variance_of_sums(total: Any, squares: Any, count: int) -> Any:
    """Unbiased variance of each element from sums of values and of squares over `count` draws."""
    return (squares - total**2 / count) / (count - 1)
