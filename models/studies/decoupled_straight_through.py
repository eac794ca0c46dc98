"""What the forward and the backward temperature do, and two temperatures tuned against one."""

import sys
from functools import partial
from typing import Any

import numpy as np

from models.common.cli import positive_float, positive_int
from models.common.program import finish
from models.common.side_by_side import Pair, Runs
from models.data import small_digits
from models.studies import decoupled_figures as figures
from models.studies.kept import Kept, Study, program

TEMPERATURES = (0.25, 0.5, 1.0, 2.0, 4.0)
LOGITS = np.log(np.array([0.4, 0.25, 0.15, 0.1, 0.06, 0.04], np.float32))
FORMS = {"forward temperature after the noise": False, "before the noise (scale_logits)": True}
NAMES = (("one", ""), ("two", "s"))
SPREADS = {"uniform": 0.0, "as in the grid": 1.0, "logits three times": 3.0}


def tune(options: Any, keep: Kept) -> tuple[np.ndarray, dict[str, Any]]:
    """Choose temperatures by the validation loss, and compare the choices on fresh seeds.

    :returns: the validation loss (forward, backward), and for each choice its temperatures and the
        test loss of each fresh seed.
    """
    host, images = program(options, "decoupled_straight_through"), small_digits()
    temperatures, seeds, fresh = options.temperatures, options.seeds, options.fresh

    def losses_of(runs: Runs, held: Any) -> np.ndarray:
        found = host.judge(options, *host.train(options, runs, images.train), held)
        return found.reshape(len(runs.pairs), -1)

    pairs = [(f, b) for f in temperatures for b in temperatures]
    begin = 100 * options.seed
    runs = Runs(pairs, list(range(begin, begin + seeds)))
    tuned = keep("tuning", partial(losses_of, runs, images.validation))
    losses = np.mean(tuned, 1)

    def best(allowed: list[Pair]) -> Pair:
        return min(allowed, key=lambda pair: losses[pairs.index(pair)])

    chosen = {
        "one temperature": best([(t, t) for t in temperatures]),
        "plain, forward 1": best([(1.0, t) for t in temperatures]),
        "two temperatures": best(pairs),
    }
    runs = Runs(list(chosen.values()), list(range(begin + 50, begin + 50 + fresh)))
    test = keep("fresh seeds", partial(losses_of, runs, images.test))
    final = {
        name: {
            "forward": pair[0],
            "backward": pair[1],
            "test_loss": values,
            "mean": np.mean(values),
        }
        for (name, pair), values in zip(chosen.items(), test, strict=True)
    }
    return losses.reshape(len(temperatures), -1), final


def run(options: Any, keep: Kept, command: str) -> None:
    """Measure what is not kept yet, and write the pictures and the numbers."""
    draws, many = partial(figures.draws, options.backend), (options.draws, options.seed)
    temperatures = options.temperatures
    grid: dict[str, Any] = {}
    for form, scaled in FORMS.items():
        cells = [
            figures.statistics(*draws(LOGITS, (f, b), scaled, *many))
            for f in temperatures
            for b in temperatures
        ]
        shape = (len(temperatures),) * 2
        grid[form] = {
            key: np.reshape([cell[key] for cell in cells], shape) for key in figures.STATISTICS
        }
    axis = np.geomspace(0.1, 10.0, 13)
    curves: dict[str, Any] = {}
    for label, spread in SPREADS.items():
        found = [draws(spread * LOGITS, (1.0, float(t)), False, *many)[1] for t in axis]
        curves[label] = {
            "max_probability": [soft.max(1).mean() for soft in found],
            "soft_entropy": [
                -(soft * np.log(np.maximum(soft, 1e-30))).sum(1).mean() for soft in found
            ],
        }
    table, final = tune(options, keep)
    one, two = (np.array(final[f"{n} temperature{s}"]["test_loss"]) for n, s in NAMES)
    lead = one - two
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


main = Study("decoupled_straight_through", __doc__, run, needs=("sklearn",))
main.add("--draws", type=positive_int, default=20_000, help="for each statistic")
main.add("--temperatures", type=positive_float, nargs="+", default=TEMPERATURES, help="of the grid")
main.add("--seeds", type=positive_int, default=3, help="for a cell of the tuning")
main.add("--fresh", type=positive_int, default=10, help="seeds at the chosen temperatures")
main.add("--steps", type=positive_int, default=1000, help="of a training")
main.add("--learning-rate", type=positive_float, default=0.01, help="of Adam")

if __name__ == "__main__":
    sys.exit(main())
