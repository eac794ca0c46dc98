"""The Laplace bridge: how far it is from a Dirichlet, and how good its predictions are."""

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from models.common.cli import positive_float, positive_int
from models.common.figures import new_figure
from models.common.last_layer import (
    LastLayer,
    logit_gaussian,
    reliability_curves,
    scores,
    train_network,
)
from models.common.program import finish
from models.studies import bridges, simplex
from models.studies.kept import Kept, Study, program

Array = np.ndarray
CONCENTRATIONS = ((2.0, 3.0, 5.0), (0.8, 0.8, 0.8), (20.0, 8.0, 12.0))


def there_and_back(options: Any, concentration: Sequence[float]) -> dict[str, simplex.Density]:
    """The densities of a Dirichlet, of its logistic-normal, and of the way back."""
    found = bridges.there_and_back(options.backend, concentration)
    return dict(zip(simplex.NAMES, found, strict=True))


def timed(ways: Mapping[str, Callable[[], Array]], repeats: int) -> dict[str, tuple[Array, float]]:
    """Run each way in turn; returns its result and the median time in seconds.

    They take turns so that a busy machine slows all alike.
    """
    results = {name: way() for name, way in ways.items()}
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(repeats):
        for name, way in ways.items():
            begun = time.perf_counter()
            way()
            seconds[name].append(time.perf_counter() - begun)
    return {name: (results[name], float(np.median(seconds[name]))) for name in ways}


def compare(options: Any, layer: LastLayer) -> tuple[dict[str, Any], dict[str, Any]]:
    """Scores and probabilities of every way to predict, on each test set."""
    mean, covariance = program(options, "laplace_bridge").last_layer_gaussian(
        layer.features, layer.labels, layer.weight, options.prior_scale, options.steps
    )
    table: dict[str, Any] = {}
    curves: dict[str, Any] = {}
    for test, (features, labels) in layer.tests.items():
        gaussian = logit_gaussian(features, mean, covariance)
        found = timed(
            bridges.predictives(options.backend, *gaussian, options.draws, options.seed),
            options.repeats,
        )
        reference = exact_predictive(*gaussian, options.exact, options.seed + 1)
        table[test], curves[test] = {}, {}
        for name, (probs, seconds) in found.items():
            table[test][name] = scores(probs, labels) | {
                "mean_error": float(0.5 * np.abs(probs - reference).sum(1).mean()),
                "milliseconds": 1e3 * seconds,
            }
        table[test]["exact"] = scores(reference, labels)
        for name in ("mode", "bridge", "scaled bridge"):
            curves[test][name] = found[name][0], labels
        curves[test]["exact"] = reference, labels
    return table, curves


def exact_predictive(mean: Any, covariance: Any, count: int, seed: int) -> Any:
    """The mean softmax over many draws, which share no code with the ways compared."""
    rng = np.random.default_rng(seed)
    jitter = 1e-6 * np.eye(mean.shape[1])
    factor = np.linalg.cholesky(covariance.astype(float) + jitter)
    total, chunk = np.zeros(mean.shape), 1000
    for _ in range(count // chunk):
        noise = rng.standard_normal((mean.shape[1], chunk))
        logits = mean[:, :, None] + factor @ noise
        odds = np.exp(logits - logits.max(1, keepdims=True))
        total += (odds / odds.sum(1, keepdims=True)).mean(2)
    return total / (count // chunk)


def draw(path: Path, curves: Mapping[str, Any], table: Mapping[str, Any]) -> None:
    """Reliability of some ways on each test set, and error against time.

    :param path: the PNG.
    :param curves: test set to way to (probabilities, labels).
    :param table: test set to way to its scores.
    """
    figure = new_figure(12.0, 3.9)
    axes = figure.subplots(1, len(curves) + 1)
    for axis, (test, ways) in zip(axes, curves.items(), strict=False):
        reliability_curves(axis, ways)
        axis.set_title(f"{test} digits")
    axis = axes[-1]
    last = list(table)[-1]
    for name, row in table[last].items():
        if "mean_error" in row:
            axis.loglog(row["milliseconds"], row["mean_error"], "o")
            place = row["milliseconds"], row["mean_error"]
            axis.annotate(name, place, (4, 4), textcoords="offset points", fontsize=8)
    axis.margins(0.25)
    axis.set_xlabel(f"milliseconds for the {last} digits")
    axis.set_ylabel("mean distance from exact (total variation)")
    figure.savefig(path, dpi=130)


def run(options: Any, keep: Kept, command: str) -> None:
    """Measure what is not kept yet, and write the pictures and the numbers."""
    where = simplex.grid(side=options.side)
    names = {f"({', '.join(f'{a:g}' for a in c)})": c for c in CONCENTRATIONS}
    rows = {label: there_and_back(options, c) for label, c in names.items()}
    triangles = {label: simplex.distances(row, where) for label, row in rows.items()}

    def distance(scale: int) -> float:
        row = there_and_back(options, [0.2 * scale, 0.3 * scale, 0.5 * scale])
        return simplex.distances(row, where)["total_variation"][simplex.NAMES[1]]

    by_scale = {s: keep(f"distance {s}", partial(distance, s)) for s in options.scales}
    layer = train_network(options.seed, options.hidden, 400)
    table, curves = compare(options, layer)
    lines = [
        f"{label:<14} total variation {found['total_variation'][simplex.NAMES[1]]:.4f}, "
        f"back {found['total_variation'][simplex.NAMES[2]]:.1e}"
        for label, found in triangles.items()
    ]
    for test, ways in table.items():
        lines.append(f"{test:<16}{'accuracy':>9}{'NLL':>8}{'ECE':>8}{'error':>9}{'ms':>9}")
        for name, row in ways.items():
            error = row.get("mean_error", float("nan")), row.get("milliseconds", float("nan"))
            shown = f"{row['accuracy']:>9.4f}{row['nll']:>8.4f}{row['ece']:>8.4f}"
            lines.append(f"{name:<16}{shown}{error[0]:>9.4f}{error[1]:>9.2f}")
    metrics = {
        "distances": triangles,
        "total_variation_of_(0.2,0.3,0.5)_times": by_scale,
        "training_images": len(layer.labels),
        "digits": table,
    }
    figures = {
        "simplex.png": lambda path: simplex.draw(path, rows, triangles),
        "digits.png": lambda path: draw(path, curves, table),
    }
    finish(options, command, metrics, figures, lines)


main = Study("laplace_bridge", __doc__, run, needs=("sklearn",))
main.add("--side", type=positive_int, default=801, help="points of a quadrature, each way")
scales = [1, 2, 5, 10, 20, 50, 100]
main.add("--scales", type=positive_int, nargs="+", default=scales, help="times (0.2, 0.3, 0.5)")
main.add("--hidden", type=positive_int, default=32, help="units of the network")
main.add("--prior-scale", type=positive_float, default=1.0, help="of the last layer's weights")
main.add("--steps", type=positive_int, default=2000, help="of Adam, to the mode")
main.add("--draws", type=positive_int, nargs="+", default=[10, 100, 1000], help="of the samplings")
main.add("--exact", type=positive_int, default=20_000, help="draws of what they are held against")
main.add("--repeats", type=positive_int, default=20, help="of each way, for its time")

if __name__ == "__main__":
    sys.exit(main())
