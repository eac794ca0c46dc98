"""What trains attend, infer, repeat: estimators after equally many steps, over several seeds."""

import importlib
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from models.canvases import Canvases, load_canvases
from models.common.cli import positive_int, seed_int
from models.common.program import finish
from models.studies.kept import Kept, Study, chosen, interval, program


def measure(one: Callable[[int], tuple[Any, float]], seed: int, data: Canvases) -> dict[str, Any]:
    """How often a draw has the right number of digits, and the bound of a canvas."""
    counts, bound = one(seed)
    return {"counted_right": (np.asarray(counts) == data.test_counts).mean(), "bound": bound}


def run(options: Any, keep: Kept, command: str) -> None:
    """Measure what is not kept yet, and write the pictures and the numbers."""
    host = importlib.import_module(f"models.studies.attend_{options.backend}")
    data, known = load_canvases(), program(options, "attend_infer_repeat").METHODS
    found: dict[str, Any] = {}
    lines = [f"{'method':<10}{'counted right':>18}{'bound':>20}"]
    for method in chosen("--method", options.method, list(known)):
        one = host.judged(method, options.steps, data)
        runs = [
            keep(f"{method} {seed}", partial(measure, one, seed, data)) for seed in options.seeds
        ]
        names = ("counted_right", "bound")
        row = {name: interval([run[name] for run in runs]) for name in names}
        found[method] = {"runs": runs} | {
            name: {"mean": mean, "half_width": half} for name, (mean, half) in row.items()
        }
        pairs = (f"{mean:.3f} ± {half or 0.0:.3f}" for mean, half in row.values())
        lines.append(f"{method:<10}" + "".join(f"{pair:>20}" for pair in pairs))
    finish(options, command, {"steps": options.steps, "methods": found}, {}, lines)


main = Study("attend_infer_repeat", __doc__, run, needs=("sklearn",))
main.add("--method", nargs="+", default=["all"], metavar="NAME", help="methods of the program")
main.add("--seeds", nargs="+", type=seed_int, default=[0, 1, 2], metavar="SEED", help="of the runs")
main.add("--steps", type=positive_int, default=600, help="of each run")

if __name__ == "__main__":
    sys.exit(main())
