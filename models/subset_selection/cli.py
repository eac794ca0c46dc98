"""The command line of the subset selection, its table and its picture."""

import importlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from models.common.cli import BadArgumentError, positive_float, positive_int
from models.common.program import build_parser, finish, start
from models.subset_selection import selection
from models.subset_selection.result import Settings

SIDE = 28


def draw(path: Path, images: Any, chosen: Mapping[str, Any], scores: Mapping[str, Any]) -> None:
    """Each method's pixels of the first run over the mean image, and the test accuracies."""
    from models.common.figures import new_figure

    figure = new_figure(3.0 * len(chosen) + 3.6, 3.4)
    axes = figure.subplots(1, len(chosen) + 1)
    for axis, (name, pixels) in zip(axes, chosen.items(), strict=False):
        axis.imshow(images.mean(0).reshape(SIDE, SIDE), cmap="gray_r", vmax=1.5)
        axis.scatter(pixels[0] % SIDE, pixels[0] // SIDE, marker="s", s=26, color="tab:red")
        axis.set_xticks([])
        axis.set_yticks([])
        axis.set_title(f"{name}\n{np.mean(scores[name]['network']):.3f} right", fontsize=10)
    for place, judge in enumerate(("network", "logistic")):
        for index, name in enumerate(chosen):
            values = scores[name][judge]
            where = index + 0.3 * place
            axes[-1].plot([where] * len(values), values, "o", ms=4, color=f"C{place}")
            axes[-1].hlines(np.mean(values), where - 0.1, where + 0.1, color=f"C{place}")
    axes[-1].plot([], [], "o", color="C0", label="a network")
    axes[-1].plot([], [], "o", color="C1", label="logistic regression")
    axes[-1].set_xticks(np.arange(len(chosen)) + 0.15, list(chosen), fontsize=8)
    axes[-1].set_ylabel("share of test digits right")
    axes[-1].legend(frameon=False, fontsize=8)
    figure.savefig(path, dpi=130)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program; returns 0, 2 for an argument that cannot be used, 1 for a failed run."""
    parser = build_parser(
        "subset_selection",
        "Choose pixels of handwritten digits by relaxed top-k sampling, by mutual information "
        "and at random, and train classifiers on each choice.",
    )
    add = parser.add_argument
    add("--k", type=positive_int, default=20, help="pixels to choose")
    add("--runs", type=positive_int, default=None, help="splits and seeds; left out: 5")
    add("--temperature", type=positive_float, default=0.5, help="of the relaxation")
    add("--steps", type=positive_int, default=None, help="optimiser steps; left out: 1000")
    add("--learning-rate", type=positive_float, default=0.02, help="of Adam")

    def body(options: Any, _: ModuleType, command: str) -> None:
        if options.k > SIDE**2:
            raise BadArgumentError("--k", f"{options.k} is not allowed; 1 to {SIDE**2}")
        quick = options.quick
        runs = options.runs or (1 if quick else 5)
        splits = selection.split(options.seed, runs, *((500, 200) if quick else (4000, 1000)))
        settings = Settings(
            k=options.k,
            temperature=options.temperature,
            hidden=32,
            subsets=4 if quick else 8,
            images=16,
            steps=options.steps or (60 if quick else 1000),
            learning_rate=options.learning_rate,
            seed=options.seed,
            progress=not options.quiet,
        )
        host = importlib.import_module(f"models.subset_selection.{options.backend}_model")
        best, losses = host.choose(splits, settings)
        chosen = {
            "top-k": best,
            "mutual information": selection.by_mutual_information(splits, options.k),
            "random": selection.at_random(splits, options.k, options.seed),
        }
        scores = {
            name: selection.accuracy(splits, pixels, options.seed)
            for name, pixels in chosen.items()
        }
        lead = {
            judge: np.subtract(scores["top-k"][judge], scores["mutual information"][judge])
            for judge in ("network", "logistic")
        }
        lines = [f"{'pixels':<20}{'network':>9}{'logistic':>10}   mean test accuracy, {runs} runs"]
        lines += [
            f"{name:<20}{np.mean(found['network']):>9.4f}{np.mean(found['logistic']):>10.4f}"
            for name, found in scores.items()
        ]
        lines += [
            f"top-k over mutual information, {judge}: {np.mean(values):+.4f}, "
            f"from {values.min():+.4f} to {values.max():+.4f}"
            for judge, values in lead.items()
        ]
        metrics = {
            "k": options.k,
            "runs": runs,
            "training_images": splits.train.shape[1],
            "test_images": splits.test.shape[1],
            "temperature": options.temperature,
            "steps": settings.steps,
            "training_loss": losses[-len(losses) // 10 :].mean(),
            "test_accuracy": scores,
            "lead_over_mutual_information": lead,
            "pixels_of_first_run": {name: pixels[0] for name, pixels in chosen.items()},
        }
        figures = {"pixels.png": lambda p: draw(p, splits.train[0], chosen, scores)}
        finish(options, command, metrics, figures, lines)

    return start(parser, argv, body, needs=("sklearn", "mlxtend"))
