"""The command line of the Laplace bridge."""

import importlib
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from tqdm import tqdm

from models.common.cli import positive_float, positive_int
from models.common.program import build_parser, finish, start
from models.laplace_bridge import digits, simplex

CONCENTRATIONS = ((2.0, 3.0, 5.0), (0.8, 0.8, 0.8), (20.0, 8.0, 12.0))
SCALES = (1, 2, 5, 10, 20, 50, 100)
DRAWS = (10, 100, 1000)


def compare(
    host: ModuleType, layer: digits.LastLayer, options: Any
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Scores and probabilities of every way to predict, on each test set."""
    steps, repeats, exact = (300, 2, 1_000) if options.quick else (2000, 20, 20_000)
    draws = DRAWS[:2] if options.quick else DRAWS
    mean, covariance = host.last_layer_gaussian(
        layer.features, layer.labels, layer.weight, options.prior_scale, steps
    )
    table: dict[str, Any] = {}
    curves: dict[str, Any] = {}
    for test, (features, labels) in layer.tests.items():
        gaussian = digits.logit_gaussian(features, mean, covariance)
        found = digits.timed(host.predictives(*gaussian, draws, options.seed), repeats)
        reference = exact_predictive(*gaussian, exact, options.seed + 1)
        table[test], curves[test] = {}, {}
        for name, (probs, seconds) in found.items():
            table[test][name] = digits.scores(probs, labels) | {
                "mean_error": float(0.5 * np.abs(probs - reference).sum(1).mean()),
                "milliseconds": 1e3 * seconds,
            }
        table[test]["exact"] = digits.scores(reference, labels)
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


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program; returns 0, 2 for an argument that cannot be used, 1 for a failed run."""
    parser = build_parser(
        "laplace_bridge",
        "Take Dirichlets to logistic-normals and back, and turn the Gaussian of a network's last "
        "layer into a Dirichlet predictive.",
    )
    add = parser.add_argument
    add(
        "--concentration",
        type=positive_float,
        nargs=3,
        metavar="A",
        default=None,
        help="of one Dirichlet to draw, instead of three",
    )
    add("--hidden", type=positive_int, default=32, help="units of the network")
    add("--prior-scale", type=positive_float, default=1.0, help="of the last layer's weights")

    def body(options: Any, _: ModuleType, command: str) -> None:
        host = importlib.import_module(f"models.laplace_bridge.{options.backend}_model")
        where = simplex.grid(side=161 if options.quick else 801)
        asked = CONCENTRATIONS if options.concentration is None else (options.concentration,)
        rows = {f"({', '.join(f'{a:g}' for a in c)})": host.there_and_back(list(c)) for c in asked}
        triangles = {label: simplex.distances(row, where) for label, row in rows.items()}
        by_scale = {}
        scales = SCALES[::3] if options.quick else SCALES
        for scale in tqdm(scales, desc="distances", disable=options.quiet):
            row = host.there_and_back([0.2 * scale, 0.3 * scale, 0.5 * scale])
            found = simplex.distances(row, where)["total_variation"]
            by_scale[scale] = found[simplex.NAMES[1]]
        layer = digits.train_network(options.seed, options.hidden, 50 if options.quick else 400)
        table, curves = compare(host, layer, options)
        lines = [
            f"{label:<14} total variation {found['total_variation'][simplex.NAMES[1]]:.4f}, "
            f"back {found['total_variation'][simplex.NAMES[2]]:.1e}"
            for label, found in triangles.items()
        ]
        for test, ways in table.items():
            lines.append(f"{test:<16}{'accuracy':>9}{'NLL':>8}{'ECE':>8}{'error':>9}{'ms':>9}")
            for name, row in ways.items():
                tail = (
                    f"{row['mean_error']:>9.4f}{row['milliseconds']:>9.2f}"
                    if "mean_error" in row
                    else ""
                )
                shown = f"{row['accuracy']:>9.4f}{row['nll']:>8.4f}{row['ece']:>8.4f}"
                lines.append(f"{name:<16}{shown}{tail}")

        def picture(path: Path) -> None:
            simplex.draw(path, rows, triangles)

        metrics = {
            "distances": triangles,
            "total_variation_of_(0.2,0.3,0.5)_times": by_scale,
            "training_images": len(layer.labels),
            "prior_scale": options.prior_scale,
            "digits": table,
        }
        figures = {"simplex.png": picture, "digits.png": lambda p: digits.draw(p, curves, table)}
        finish(options, command, metrics, figures, lines)

    return start(parser, argv, body, needs=("sklearn",))
