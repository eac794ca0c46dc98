"""What a run is asked for, where it begins and what it returns, whichever host made it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from models.common.networks import Weights, two_layer_weights

LATENTS = 200
"""Binary latents in a layer, and hidden units of a network between layers."""


@dataclass(frozen=True)
class Settings:
    """What a host needs to know to train and to evaluate.

    Attributes:
        layers: stochastic layers, 1 or 2.
        linear: whether layers are joined by linear maps, not by networks with a hidden layer.
        steps: optimiser steps.
        batch_size: images in a subsample.
        learning_rate: of Adam.
        passes: draws per image for a bound.
        variance_images: images that the gradient's variance is averaged over.
        variance_draws: gradients at each of them.
        progress: whether to draw a progress bar.
    """

    layers: int
    linear: bool
    steps: int
    batch_size: int
    learning_rate: float
    passes: int = 20
    variance_images: int = 500
    variance_draws: int = 200
    progress: bool = True


class Trainer(Protocol):
    """One estimator in training, on one host; the two hosts' classes have this face."""

    def advance(self, steps: int) -> NDArray[np.floating]:
        """Take steps; returns their losses, the negative ELBO per training image."""

    def bound(self, images: NDArray[np.float32], passes: int) -> float:
        """The ELBO per image of the discrete model under the discrete guide."""

    def variance(self) -> float:
        """The gradient's variance in the logits of an image's codes, where training stands."""

    def learned(self) -> dict[str, float]:
        """The estimator's own learned numbers, by parameter name."""


@dataclass(frozen=True)
class Row:
    """One estimator's training with one seed.

    Attributes:
        estimator: its key.
        seed: of the weights and of every draw.
        losses: of every step, shape (steps,).
        train_bound: discrete ELBO per training image after the steps asked for, in nats.
        test_bound: per held-out image; None if none is held out.
        variance: sum over an image's logits of the variance of the gradient, mean over images.
        step_seconds: median time of a step, compilation left out.
        train_seconds: time of the training, compilation included.
        learned: the estimator's learned numbers.
        equal_time: "steps", "train_bound" and "test_bound" after as many more steps as fit the
            training time of the slowest estimator; empty unless asked for.
    """

    estimator: str
    seed: int
    losses: NDArray[np.float64]
    train_bound: float
    test_bound: float | None
    variance: float
    step_seconds: float
    train_seconds: float
    learned: Mapping[str, float]
    equal_time: Mapping[str, Any] = field(default_factory=dict)


def initial_weights(seed: int, pixels: int, layers: int, linear: bool) -> dict[str, Weights]:
    """The weights at which both hosts begin: Glorot-uniform, every bias zero.

    Args:
        seed: of the draws.
        pixels: numbers in an image.
        layers: stochastic layers.
        linear: whether the maps are linear.

    Returns:
        For each layer k from 1 up, the maps "infer{k}" (upwards) and "generate{k}" (downwards):
        "w1" and "b1", and "w2" and "b2" if there is a hidden layer.
    """
    rng = np.random.default_rng(seed)
    made: dict[str, Weights] = {}
    for layer in range(1, layers + 1):
        below = pixels if layer == 1 else LATENTS
        for name, inputs, outputs in (
            (f"infer{layer}", below, LATENTS),
            (f"generate{layer}", LATENTS, below),
        ):
            if linear:
                # Of two maps in a row only the first: the hidden layer is the output.
                both = two_layer_weights(rng, inputs, outputs, 1)
                made[name] = {"w1": both["w1"], "b1": both["b1"]}
            else:
                made[name] = two_layer_weights(rng, inputs, LATENTS, outputs)
    return made
