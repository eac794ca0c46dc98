"""The command line of the decoupled straight-through estimator."""

import importlib
from collections.abc import Sequence
from types import ModuleType
from typing import Any

import numpy as np

from models.common.cli import positive_float, positive_int
from models.common.program import build_parser, finish, start
from models.decoupled_straight_through.task import Pair, Runs, load

TEMPERATURES = (0.25, 0.5, 1.0, 2.0, 4.0)
LOGITS = np.log(np.array([0.4, 0.25, 0.15, 0.1, 0.06, 0.04], np.float32))
FORMS = {"forward temperature after the noise": False, "before the noise (scale_logits)": True}
SPREADS = {"uniform": 0.0, "as in the grid": 1.0, "logits three times": 3.0}


def tune(
    host: ModuleType, options: Any, temperatures: Sequence[float]
) -> tuple[np.ndarray, dict[str, Any]]:
    """Choose temperatures by the validation loss, and compare the choices on fresh seeds.

    :param host: the module with `train`.
    :param options: the program's.
    :param temperatures: of the grid.
    :returns: the validation loss (forward, backward), and for each choice its temperatures and the
        test loss of each fresh seed.
    """
    images = load()
    seeds, fresh, steps = (1, 2, 60) if options.quick else (3, 10, 1000)
    steps = options.steps or steps
    rest: tuple[Any, ...] = steps, options.learning_rate, options.seed, not options.quiet
    pairs = [(f, b) for f in temperatures for b in temperatures]
    begin = 100 * options.seed
    runs = Runs(pairs, list(range(begin, begin + seeds)))
    losses = host.train(runs, images.train, images.validation, *rest).mean(1)

    def best(allowed: list[Pair]) -> Pair:
        return min(allowed, key=lambda pair: losses[pairs.index(pair)])

    chosen = {
        "one temperature": best([(t, t) for t in temperatures]),
        "plain, forward 1": best([(1.0, t) for t in temperatures]),
        "two temperatures": best(pairs),
    }
    runs = Runs(list(chosen.values()), list(range(begin + 50, begin + 50 + fresh)))
    test = host.train(runs, images.train, images.test, *rest)
    final = {
        name: {"forward": pair[0], "backward": pair[1], "test_loss": values}
        for (name, pair), values in zip(chosen.items(), test, strict=True)
    }
    return losses.reshape(len(temperatures), -1), final


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program; returns 0, 2 for an argument that cannot be used, 1 for a failed run."""
    parser = build_parser(
        "decoupled_straight_through",
        "Show what the forward and the backward temperature of a straight-through Gumbel-softmax "
        "do, and tune the two on an autoencoder of digits.",
    )
    add = parser.add_argument
    add("--draws", type=positive_int, default=20_000, help="for each statistic")
    add("--steps", type=positive_int, default=None, help="of a training; left out: 1000")
    add("--learning-rate", type=positive_float, default=0.01, help="of Adam")

    def body(options: Any, _: ModuleType, command: str) -> None:
        from models.decoupled_straight_through import figures

        host = importlib.import_module(f"models.decoupled_straight_through.{options.backend}_model")
        # The form with the forward temperature at 1 is the plain estimator.
        temperatures = (0.5, 1.0) if options.quick else TEMPERATURES
        grid: dict[str, Any] = {}
        for form, scaled in FORMS.items():
            cells = [
                figures.statistics(*host.draws(LOGITS, (f, b), scaled, options.draws, options.seed))
                for f in temperatures
                for b in temperatures
            ]
            shape = (len(temperatures),) * 2
            grid[form] = {
                key: np.reshape([cell[key] for cell in cells], shape) for key in figures.STATISTICS
            }
        axis = np.geomspace(0.1, 10.0, 3 if options.quick else 13)
        curves: dict[str, Any] = {}
        for label, spread in SPREADS.items():
            found = [
                host.draws(spread * LOGITS, (1.0, float(t)), False, options.draws, options.seed)[1]
                for t in axis
            ]
            curves[label] = {
                "max_probability": [soft.max(1).mean() for soft in found],
                "soft_entropy": [
                    -(soft * np.log(np.maximum(soft, 1e-30))).sum(1).mean() for soft in found
                ],
            }
        table, final = tune(host, options, temperatures)
        lead = final["one temperature"]["test_loss"] - final["two temperatures"]["test_loss"]
        error = float(np.std(lead, ddof=1) / np.sqrt(len(lead)))
        lines = [
            f"{name:<18} ({row['forward']:g}, {row['backward']:g})  test loss "
            f"{np.mean(row['test_loss']):.3f} nats per image"
            for name, row in final.items()
        ]
        lines.append(
            f"two temperatures win by {lead.mean():.3f} +- {error:.3f} (standard error), "
            f"on {int((lead > 0).sum())} of {len(lead)} seeds"
        )
        metrics = {
            "temperatures": temperatures,
            "grid": grid,
            "sharpness": {"temperatures": axis, **curves},
            "validation_loss": table,
            "chosen": final,
            "lead_of_two_temperatures": {"mean": lead.mean(), "standard_error": error},
        }
        drawn = {
            "sharpness.png": lambda p: figures.sharpness(p, curves, list(axis)),
            "grid.png": lambda p: figures.grids(p, grid, temperatures),
            "training.png": lambda p: figures.training(p, table, temperatures, final),
        }
        finish(options, command, metrics, drawn, lines)

    return start(parser, argv, body, needs=("sklearn",))
