"""REINFORCE, A2C and RELAX on one environment, over seeds: learning curves with bands."""

import sys
from argparse import Namespace
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models import policy_gradient as program
from models.common.cli import BadArgumentError, seed_int
from models.common.figures import new_figure
from models.common.playing import ENVIRONMENTS, add_options, check
from models.common.program import finish
from models.studies.kept import Kept, Study, chosen, interval

BINS = 50
COLOURS = {
    "reinforce": "tab:gray",
    "reinforce-average": "tab:orange",
    "a2c": "tab:blue",
    "relax": "tab:red",
}


def learning_curve(
    episodes: NDArray[np.floating], steps: int, bins: int = BINS
) -> NDArray[np.float64]:
    """The mean return of the episodes that ended within each of equal parts of the budget.

    Where none ended, the part before it counts (before the first: the first one that has any).

    :param episodes: (steps played at its end, return) of each, (n, 2).
    :param steps: the budget.
    :param bins: how many parts.
    :returns: Shape (bins,); NaN where no episode ended at all.
    """
    curve = np.full(bins, np.nan)
    which = np.minimum(np.ceil(episodes[:, 0] * bins / steps).astype(int), bins) - 1
    for part in range(bins):
        inside = episodes[which == part, 1]
        if len(inside):
            curve[part] = inside.mean()
        elif part:
            curve[part] = curve[part - 1]
    known = curve[~np.isnan(curve)]
    return np.where(np.isnan(curve), known[0], curve) if len(known) else curve


def measure(options: Any, algorithm: str, seed: int) -> dict[str, Any]:
    """The numbers of one training.

    :returns: "area" is the area under the learning curve divided by the budget: the mean return
        over the training.
    """
    found = program.learn(Namespace(**vars(options) | {"seed": seed}), algorithm)
    curve = learning_curve(found["episodes"], options.steps)
    finite = bool(np.isfinite(curve).all())
    of_h, without = found["squares"], found["squares_without"]
    return {
        "algorithm": algorithm,
        "seed": seed,
        "steps": found["steps"],
        "episodes": len(found["episodes"]),
        "area": float(curve.mean()) if finite else None,
        "evaluation": float(found["evaluation"].mean()),
        "greedy_evaluation": float(found["greedy_evaluation"].mean()),
        "squares": float(of_h.mean()),
        "squares_without": float(without.mean()),
        "median_squares_ratio": float(np.median(of_h / (without + 1e-30))),
        "update_ms": found["update_ms"],
        "seconds": found["seconds"],
        "curve": np.round(curve, 2).tolist() if finite else None,
    }


def ends(values: Sequence[float]) -> list[float] | None:
    """The ends of the mean's 95 % interval; None for a single value."""
    mean, half = interval(values) if len(values) > 1 else (0.0, None)
    return None if half is None else [mean - half, mean + half]


def _row(mine: Sequence[Mapping[str, Any]], solved: float | None) -> dict[str, Any]:
    areas = [run["area"] for run in mine if run["area"] is not None]
    keys = ("evaluation", "greedy_evaluation", "update_ms", "seconds")
    right = None if solved is None else sum(run["evaluation"] >= solved for run in mine)
    row = {"area": np.mean(areas) if areas else None, "area_interval": ends(areas)}
    row |= {key: np.mean([run[key] for run in mine]) for key in keys}
    return row | {"solved_seeds": right, "seeds": len(mine)}


def _differences(runs: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, dict[str, Any]]:
    """The area of relax less that of another, seed by seed."""
    ours, found = {run["seed"]: run["area"] for run in runs.get("relax", ())}, {}
    for name in runs:
        each = [(ours.get(run["seed"]), run["area"]) for run in runs[name] if name != "relax"]
        pairs = [our - their for our, their in each if our is not None and their is not None]
        if pairs:
            found[name] = {"mean": np.mean(pairs), "interval": ends(pairs)}
    return found


def lines(metrics: Mapping[str, Any]) -> list[str]:
    """The printed table."""
    out = [
        f"{metrics['env']}, {metrics['steps']:,} environment steps, "
        f"{len(metrics['seeds'])} seed(s); area: mean return over the training",
        f"{'algorithm':18s}{'area':>9s}{'95 % interval':>20s}{'evaluation':>12s}{'greedy':>9s}"
        f"{'solved':>8s}{'update':>11s}",
    ]
    for name, row in metrics["table"].items():
        area = "-" if row["area"] is None else f"{row['area']:.1f}"
        solved = "-" if row["solved_seeds"] is None else f"{row['solved_seeds']}/{row['seeds']}"
        out.append(
            f"{name:18s}{area:>9s}{_span(row['area_interval']):>20s}{row['evaluation']:12.1f}"
            f"{row['greedy_evaluation']:9.1f}{solved:>8s}{row['update_ms']:8.2f} ms"
        )
    for name, found in metrics["differences"].items():
        span = _span(found["interval"])
        out.append(f"area of relax less that of {name}: {found['mean']:+.1f} {span}".rstrip())
    return out


def _span(between: Sequence[float] | None) -> str:
    return "" if between is None else f"[{between[0]:.1f}, {between[1]:.1f}]"


def learning_curves(path: Path, metrics: Mapping[str, Any]) -> None:
    """Draw each algorithm's mean curve over the seeds, in a band from the lowest to the highest.

    :param path: the PNG to write.
    :param metrics: as `summarise` made them.
    """
    figure = new_figure(7.4, 4.4)
    axis = figure.subplots()
    at = (np.arange(BINS) + 0.5) * metrics["steps"] / BINS
    for name in metrics["algorithms"]:
        mine = [run["curve"] for run in metrics["runs"] if run["algorithm"] == name]
        curves = [curve for curve in mine if curve is not None]
        if not curves:
            continue
        mean = np.mean(curves, axis=0)
        axis.plot(at, mean, color=COLOURS[name], label=name, linewidth=1.5)
        if len(curves) > 1:
            low, high = np.min(curves, axis=0), np.max(curves, axis=0)
            axis.fill_between(at, low, high, color=COLOURS[name], alpha=0.15, linewidth=0)
    if metrics["solved_from"] is not None:
        axis.axhline(metrics["solved_from"], color="black", linestyle=":", linewidth=1.0)
    axis.set_xlabel("environment steps")
    axis.set_ylabel("return of training episodes")
    seeds = len(metrics["seeds"])
    band = "; mean, and lowest to highest" if seeds > 1 else ""
    axis.set_title(f"{metrics['env']}, {seeds} seed(s){band}", fontsize=11)
    if axis.get_legend_handles_labels()[0]:
        axis.legend(frameon=False, fontsize=9)
    figure.savefig(path, dpi=130)


def run(options: Any, keep: Kept, command: str) -> None:
    """Measure what is not kept yet, and write the pictures and the numbers."""
    algorithms = chosen("--algorithm", options.algorithm, program.ALGORITHMS)
    if len(set(options.seeds)) < len(options.seeds):
        raise BadArgumentError("--seeds", "a seed is repeated; give each once")
    check(options)
    runs = [
        keep(f"{algorithm} {seed}", partial(measure, options, algorithm, seed))
        for seed in options.seeds
        for algorithm in algorithms
    ]
    by_name = {name: [r for r in runs if r["algorithm"] == name] for name in algorithms}
    solved = ENVIRONMENTS[options.env].solved
    metrics = {
        "env": options.env,
        "algorithms": algorithms,
        "seeds": options.seeds,
        "steps": options.steps,
        "solved_from": solved,
        "table": {name: _row(each, solved) for name, each in by_name.items()},
        "differences": _differences(by_name),
        "runs": runs,
    }
    figures = {"learning_curves.png": lambda path: learning_curves(path, metrics)}
    finish(options, command, metrics, figures, lines(metrics))


main = Study("policy_gradient", __doc__, run, needs=("gymnasium", "scipy"), backend="pyro")
names = "some of " + ", ".join(program.ALGORITHMS)
main.add("--algorithm", nargs="+", default=["all"], metavar="NAME", help=names)
main.add("--seeds", type=seed_int, nargs="+", default=[0], help="a run for each")
add_options(main.parser)

if __name__ == "__main__":
    sys.exit(main())
