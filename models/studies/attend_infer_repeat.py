"""What trains attend, infer, repeat: estimators after equally many steps, over several seeds."""

import importlib
import sys
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from models.canvases import Canvases, load_canvases
from models.common.cli import positive_int, seed_int
from models.common.program import finish
from models.studies.kept import Kept, begin, chosen, interval, program, study_parser


def measure(one: Callable[[int], tuple[Any, float]], seed: int, data: Canvases) -> dict[str, Any]:
    """How often a draw has the right number of digits, and the bound of a canvas."""
    counts, bound = one(seed)
    return {"counted_right": (np.asarray(counts) == data.test_counts).mean(), "bound": bound}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the study; returns 0, 2 for an argument that cannot be used, 1 for a failed run."""
    parser = study_parser("attend_infer_repeat", __doc__)
    add = parser.add_argument
    add("--method", nargs="+", default=["all"], metavar="NAME", help="methods of the program")
    add("--seeds", nargs="+", type=seed_int, default=[0, 1, 2], metavar="SEED", help="of the runs")
    add("--steps", type=positive_int, default=600, help="of each run")

    def body(options: Any, keep: Kept, command: str) -> None:
        host = importlib.import_module(f"models.studies.attend_{options.backend}")
        data, known = load_canvases(), program(options, "attend_infer_repeat").METHODS
        found: dict[str, Any] = {}
        lines = [f"{'method':<10}{'counted right':>18}{'bound':>20}"]
        for method in chosen("--method", options.method, list(known)):
            one = host.judged(method, options.steps, data)
            runs = [
                keep(f"{method} {seed}", partial(measure, one, seed, data))
                for seed in options.seeds
            ]
            names = ("counted_right", "bound")
            row = {name: interval([run[name] for run in runs]) for name in names}
            found[method] = {"runs": runs} | {
                name: {"mean": mean, "half_width": half} for name, (mean, half) in row.items()
            }
            pairs = (f"{mean:.3f} ± {half or 0.0:.3f}" for mean, half in row.values())
            lines.append(f"{method:<10}" + "".join(f"{pair:>20}" for pair in pairs))
        finish(options, command, {"steps": options.steps, "methods": found}, {}, lines)

    return begin(parser, argv, body, needs=("sklearn",))


if __name__ == "__main__":
    sys.exit(main())
