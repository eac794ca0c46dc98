"""What a run leaves behind: learning curves with bands, areas with intervals, the metrics file."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student

from models.common.figures import new_figure
from models.common.outputs import versions, write_metrics, written_together
from models.policy_gradient.result import Result

FILES = ("learning_curves.png", "metrics.json")
BINS = 50
LEFT_OUT = ("algorithm", "seed", "env", "steps", "learning_rate", "progress")
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


def interval(values: Sequence[float] | NDArray[np.floating]) -> list[float] | None:
    """Student's 95 % interval of the mean, for independent values; None for a single one."""
    count = len(values)
    if count < 2:
        return None
    half = student.ppf(0.975, count - 1) * np.std(values, ddof=1) / np.sqrt(count)
    return [float(np.mean(values) - half), float(np.mean(values) + half)]


def summarise(
    asked: Mapping[str, Any], results: Sequence[Result], solved: float | None
) -> dict[str, Any]:
    """The numbers of a run, for the metrics file, the printed table and the figure.

    :param asked: the run's options, by name.
    :param results: what came of it.
    :param solved: the mean return from which the environment counts as solved, or None.
    :returns: a dictionary that JSON can hold. "area" is the area under a learning curve divided by
        the budget: the mean return over the training. "differences" are RELAX's areas less another
        algorithm's with the same seed.
    """
    steps = asked["steps"]
    runs = []
    for r in results:
        curve = learning_curve(r.episodes, steps)
        shown = np.round(curve, 2).tolist() if np.isfinite(curve).all() else None
        runs.append(
            {
                "algorithm": r.algorithm,
                "seed": r.seed,
                "learning_rate": r.settings.learning_rate,
                "steps": r.steps,
                "episodes": len(r.episodes),
                "area": None if shown is None else float(curve.mean()),
                "evaluation": float(r.evaluation.mean()),
                "greedy_evaluation": float(r.greedy_evaluation.mean()),
                "squares": float(r.squares.mean()),
                "squares_without": float(r.squares_without.mean()),
                "median_squares_ratio": float(np.median(r.squares / (r.squares_without + 1e-30))),
                "median_update_ms": 1e3 * r.update_seconds,
                "training_seconds": r.train_seconds,
                "curve": shown,
            }
        )
    common = {k: v for k, v in asdict(results[0].settings).items() if k not in LEFT_OUT}
    return {
        **asked,
        **common,
        "solved_from": solved,
        "table": {name: _row(runs, name, solved) for name in asked["algorithms"]},
        "differences": _differences(runs),
        "runs": runs,
        "versions": versions("relaxppl", "numpy", "torch", "gymnasium"),
    }


def _of(runs: Sequence[Mapping[str, Any]], name: str) -> list[Mapping[str, Any]]:
    return [run for run in runs if run["algorithm"] == name]


def _row(runs: Sequence[Mapping[str, Any]], name: str, solved: float | None) -> dict[str, Any]:
    mine = _of(runs, name)
    areas = [run["area"] for run in mine if run["area"] is not None]
    keys = ("evaluation", "greedy_evaluation", "median_update_ms", "training_seconds")
    return {
        "learning_rate": mine[0]["learning_rate"],
        "area": float(np.mean(areas)) if areas else None,
        "area_interval": interval(areas),
        **{key: float(np.mean([run[key] for run in mine])) for key in keys},
        "solved_seeds": None
        if solved is None
        else int(sum(run["evaluation"] >= solved for run in mine)),
        "seeds": len(mine),
    }


def _differences(runs: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    ours = {run["seed"]: run["area"] for run in _of(runs, "relax")}
    found = {}
    for name in dict.fromkeys(run["algorithm"] for run in runs):
        pairs = [
            ours[run["seed"]] - run["area"]
            for run in _of(runs, name)
            if name != "relax" and None not in (ours.get(run["seed"]), run["area"])
        ]
        if pairs:
            found[name] = {"mean": float(np.mean(pairs)), "interval": interval(pairs)}
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
            f"{row['greedy_evaluation']:9.1f}{solved:>8s}{row['median_update_ms']:8.2f} ms"
        )
    for name, found in metrics["differences"].items():
        span = _span(found["interval"])
        out.append(f"area of relax less that of {name}: {found['mean']:+.1f} {span}".rstrip())
    return out


def _span(ends: Sequence[float] | None) -> str:
    return "" if ends is None else f"[{ends[0]:.1f}, {ends[1]:.1f}]"


def write(out: Path, metrics: Mapping[str, Any]) -> None:
    """Write every file of `FILES` into a folder, together.

    :param out: the folder.
    :param metrics: as `summarise` made them.
    :raises BadArgumentError: the folder cannot be written.
    """
    with written_together(out) as folder:
        learning_curves(folder / FILES[0], metrics)
        write_metrics(folder / FILES[1], metrics)


def learning_curves(path: Path, metrics: Mapping[str, Any]) -> None:
    """Draw each algorithm's mean curve over the seeds, in a band from the lowest to the highest.

    :param path: the PNG to write.
    :param metrics: as `summarise` made them.
    """
    figure = new_figure(7.4, 4.4)
    axis = figure.subplots()
    at = (np.arange(BINS) + 0.5) * metrics["steps"] / BINS
    for name in metrics["algorithms"]:
        curves = [run["curve"] for run in _of(metrics["runs"], name) if run["curve"] is not None]
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
