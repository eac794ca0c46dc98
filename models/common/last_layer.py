"""scikit-learn's digits through a small network, and how good class probabilities are."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]
BINS = 10


@dataclass(frozen=True)
class LastLayer:
    """What a trained network's last layer reads, and its weights.

    :param features: of the training images, a constant last, (n, D).
    :param labels: (n,).
    :param weight: (D, K), the bias last.
    :param tests: name to (features, labels) of images held out, clean and corrupted.
    """

    features: Array
    labels: NDArray[np.int64]
    weight: Array
    tests: dict[str, tuple[Array, NDArray[np.int64]]]


def train_network(seed: int, hidden: int, iterations: int) -> LastLayer:
    """Train a network with one hidden layer on half of the digits.

    :param seed: of the split, the weights and the noise.
    :param hidden: its units.
    :param iterations: most passes over the data.
    :returns: its last layer.
    """
    import warnings

    from sklearn.datasets import load_digits
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPClassifier

    images, labels = load_digits(return_X_y=True)
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(images))
    images, labels = images[order] / 16.0, labels[order]
    half = len(images) // 2
    net = MLPClassifier((hidden,), activation="tanh", max_iter=iterations, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        net.fit(images[:half], labels[:half])

    def features(x: Array) -> Array:
        layer = np.tanh(x @ net.coefs_[0] + net.intercepts_[0])
        return np.column_stack([layer, np.ones(len(x))]).astype(np.float32)

    held = images[half:]
    noisy = np.clip(held + 0.3 * rng.standard_normal(held.shape), 0.0, 1.0)
    tests = {"clean": held, "noisy": noisy}
    return LastLayer(
        features(images[:half]),
        labels[:half],
        np.vstack([net.coefs_[1], net.intercepts_[1]]).astype(np.float32),
        {name: (features(x), labels[half:]) for name, x in tests.items()},
    )


def logit_gaussian(features: Array, mean: Array, covariance: Array) -> tuple[Array, Array]:
    """The Gaussian over an input's logits under a Gaussian over the last layer's weights.

    :param features: (n, D).
    :param mean: of the weights, (D * K,).
    :param covariance: (D * K, D * K).
    :returns: the mean (n, K) and the covariance (n, K, K).
    """
    size = features.shape[1]
    classes = len(mean) // size
    blocks = covariance.reshape(size, classes, size, classes)
    half = np.tensordot(features, blocks, ([1], [0]))
    return features @ mean.reshape(size, classes), np.einsum("nkdl,nd->nkl", half, features)


def scores(probs: Array, labels: NDArray[np.int64]) -> dict[str, float]:
    """Accuracy, mean negative log-likelihood, Brier score and expected calibration error.

    The calibration error averages, over ten bins of the largest probability, how far the share of
    right answers is from that probability.
    """
    probs = np.maximum(probs.astype(float), 1e-12)
    _, gap, share = reliability(probs, labels)
    return {
        "accuracy": float((probs.argmax(1) == labels).mean()),
        "nll": float(-np.log(probs[np.arange(len(labels)), labels]).mean()),
        "brier": float(((probs - np.eye(probs.shape[1])[labels]) ** 2).sum(1).mean()),
        "ece": float((share * np.abs(gap)).sum()),
    }


def reliability(probs: Array, labels: NDArray[np.int64]) -> tuple[Array, Array, Array]:
    """Mean confidence, share right less confidence, and share of the images; one for each bin."""
    confidence, right = probs.max(1), probs.argmax(1) == labels
    which = np.minimum((confidence * BINS).astype(int), BINS - 1)
    count = np.bincount(which, minlength=BINS)
    filled = np.maximum(count, 1)
    mean = np.bincount(which, confidence, BINS) / filled
    return mean, np.bincount(which, right, BINS) / filled - mean, count / len(labels)


def reliability_curves(axis: Any, ways: Mapping[str, Any]) -> None:
    """Draw the share right against confidence.

    :param axis: to draw on.
    :param ways: name to (probabilities, labels).
    """
    axis.plot([0, 1], [0, 1], color="grey", linewidth=0.8)
    for name, (probs, labels) in ways.items():
        confidence, gap, share = reliability(probs, labels)
        keep = share > 0.005
        axis.plot(confidence[keep], (confidence + gap)[keep], "o-", ms=4, label=name)
    axis.set_xlabel("confidence")
    axis.set_ylabel("share right")
    axis.legend(frameon=False, fontsize=8)
