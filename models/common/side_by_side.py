"""Autoencoders that train side by side, one for every pair of temperatures and every seed."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

PIXELS, LATENTS, CLASSES = 64, 8, 8
CODE = LATENTS * CLASSES
BATCH = 100

Pair = tuple[float, float]
"""Forward and backward temperature."""


@dataclass(frozen=True)
class Runs:
    """Trainings side by side: every pair of temperatures with every seed.

    :param pairs: the temperatures.
    :param seeds: of the initial weights.
    """

    pairs: list[Pair]
    seeds: list[int]

    def __len__(self) -> int:
        return len(self.pairs) * len(self.seeds)

    def temperatures(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Forward and backward temperature of each run, (runs, 1, 1)."""
        each = np.repeat(np.array(self.pairs, np.float32), len(self.seeds), axis=0)
        return each[:, 0, None, None], each[:, 1, None, None]

    def weights(self) -> dict[str, NDArray[np.float32]]:
        """Initial weights; runs of one seed begin alike."""

        def glorot(seed: int, part: int, rows: int, columns: int) -> NDArray[np.floating]:
            bound = np.sqrt(6.0 / (rows + columns))
            return np.random.default_rng([seed, part]).uniform(-bound, bound, (rows, columns))

        encoder = np.array([glorot(seed, 0, PIXELS, CODE) for seed in self.seeds], np.float32)
        decoder = np.array([glorot(seed, 1, CODE, PIXELS) for seed in self.seeds], np.float32)
        copies = (len(self.pairs), 1, 1)
        return {
            "encoder": np.tile(encoder, copies),
            "decoder": np.tile(decoder, copies),
            "bias": np.zeros((len(self), PIXELS), np.float32),
        }
