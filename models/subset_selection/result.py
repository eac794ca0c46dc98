"""What a run is asked for, and where both hosts begin."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.common.networks import two_layer_weights
from models.subset_selection.selection import CLASSES


@dataclass(frozen=True)
class Settings:
    """What a host needs to know to train.

    :param k: pixels to choose.
    :param temperature: of the relaxation behind the backward pass.
    :param hidden: units of the classifier.
    :param subsets: subsets to draw in a step.
    :param images: images that each drawn subset sees.
    :param steps: optimiser steps.
    :param learning_rate: of Adam.
    :param seed: of the weights and of every draw.
    :param progress: whether to draw a progress bar.
    """

    k: int
    temperature: float
    hidden: int
    subsets: int
    images: int
    steps: int
    learning_rate: float
    seed: int
    progress: bool


def initial_weights(settings: Settings, runs: int, pixels: int) -> dict[str, NDArray[np.float32]]:
    """Weights of one network for each run, stacked."""
    each = []
    for run in range(runs):
        rng = np.random.default_rng([settings.seed, run])
        weights = two_layer_weights(rng, pixels, settings.hidden, CLASSES)
        # k of all the pixels are seen: their weights begin as those of a network of k inputs.
        weights["w1"] *= np.sqrt((pixels + settings.hidden) / (settings.k + settings.hidden))
        each.append(weights)
    return {name: np.stack([weights[name] for weights in each]) for name in each[0]}
