"""What a run leaves behind: the printed table, the figures and the metrics file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.common.figures import new_figure
from models.common.outputs import versions, write_metrics, written_together
from models.data import Digits
from models.sigmoid_belief_network.estimators import ESTIMATORS, Choice
from models.sigmoid_belief_network.result import Reached, Row

FILES = ("curves.png", "variance.png", "metrics.json")


def summarise(
    asked: Mapping[str, Any], digits: Digits, choices: Sequence[Choice], rows: Sequence[Row]
) -> dict[str, Any]:
    """The numbers of a run, for the metrics file and for the printed table.

    :param asked: the run's options, by name.
    :param digits: the images.
    :param choices: the estimators.
    :param rows: what came of it.
    :returns: a dictionary that JSON can hold. "table" has one entry for each estimator, averaged
        over the seeds, "rows" one for each training; bounds are in nats per image.
    """
    kl = {choice.name: "exact" if choice.exact_kl else "sampled" for choice in choices}
    return {
        **asked,
        "data": digits.source,
        "binarisation": "a pixel is 1 where its grey level is above one half",
        "training_images": len(digits.train),
        "held_out_images": len(digits.test),
        "table": {
            name: {"kl": kl[name]} | _mean([r for r in rows if r.estimator == name]) for name in kl
        },
        "rows": [
            {"estimator": row.estimator, "seed": row.seed}
            | _numbers(row)
            | {"learned": dict(row.learned)}
            for row in rows
        ],
        "versions": versions("numpy", "numpyro", "jax", "pyro-ppl", "torch"),
    }


def _numbers(row: Row) -> dict[str, Any]:
    return {
        "at_steps": _bounds(row.at_steps),
        "at_seconds": None if row.at_seconds is None else _bounds(row.at_seconds),
        "gradient_variance": row.variance,
        "median_step_ms": 1e3 * row.step_seconds,
    }


def _bounds(reached: Reached) -> dict[str, Any]:
    numbers = asdict(reached)
    numbers["training_bound"] = numbers.pop("train_bound")
    numbers["discrete_test_bound"] = numbers.pop("test_bound")
    return numbers


def _mean(rows: Sequence[Row]) -> dict[str, Any]:
    means = _mean_of([_numbers(row) for row in rows])
    bounds = [row.at_steps.train_bound for row in rows]
    spread = float(np.std(bounds, ddof=1)) if len(bounds) > 1 else None
    return {**means, "training_bound_spread": spread, "seeds": len(rows)}


def _mean_of(each: Sequence[Any]) -> Any:
    known = [value for value in each if value is not None]
    if not known:
        return None
    if isinstance(known[0], dict):
        return {key: _mean_of([value[key] for value in known]) for key in known[0]}
    return float(np.mean(known))


def lines(metrics: Mapping[str, Any]) -> list[str]:
    """The printed table, best training bound first."""
    table = metrics["table"]
    timed = all(row["at_seconds"] is not None for row in table.values())
    head = f"{'estimator':17s}{'KL':>8s}{'training':>10s}{'test':>9s}{'variance':>11s}{'step':>10s}"
    if timed:
        seconds = np.mean([row["at_seconds"]["seconds"] for row in table.values()])
        head += f"  | in {seconds:6.1f} s:{'training':>11s}{'test':>9s}"
    maps = f"{metrics['hidden']} hidden units" if metrics["hidden"] else "linear maps"
    out = [
        f"{metrics['backend']}, {metrics['layers']} layer(s) of {metrics['latents']}, {maps}, "
        f"{metrics['steps']} steps, {len(metrics['seeds'])} seed(s); bounds in nats per image",
        head,
    ]
    for name, row in sorted(table.items(), key=lambda item: -item[1]["at_steps"]["training_bound"]):
        line = f"{name:17s}{row['kl']:>8s}{_pair(row['at_steps'], 10)}"
        line += f"{_format(row['gradient_variance'], 11, '.4g')}{row['median_step_ms']:7.2f} ms"
        if timed:
            there = row["at_seconds"]
            line += f"  |{there['steps']:7.0f} steps{_pair(there, 11)}"
        out.append(line)
    return out


def _pair(reached: Mapping[str, Any], width: int) -> str:
    first = _format(reached["training_bound"], width, ".2f")
    return first + _format(reached["discrete_test_bound"], 9, ".2f")


def _format(value: float | None, width: int, spec: str) -> str:
    return f"{'-' if value is None else format(value, spec):>{width}s}"


def write(out: Path, metrics: Mapping[str, Any], rows: Sequence[Row]) -> None:
    """Write every file of `FILES` into a folder, together.

    :param out: the folder.
    :param metrics: as `summarise` made them.
    :param rows: what came of the run.
    :raises BadArgumentError: the folder cannot be written.
    """
    title = f"Sigmoid belief network, {metrics['layers']} layer(s), {metrics['backend']}"
    with written_together(out) as folder:
        curves(folder / "curves.png", rows, title)
        bars(folder / "variance.png", metrics["table"], title)
        write_metrics(folder / "metrics.json", metrics)


def curves(path: Path, rows: Sequence[Row], title: str) -> None:
    """Draw the smoothed training bound against steps and against seconds.

    :param path: the PNG to write.
    :param rows: trainings; those of one estimator are averaged.
    :param title: stands above.
    """
    figure = new_figure(11.0, 4.8)
    by_step, by_second = figure.subplots(1, 2, sharey=True)
    finals, starts = [], []
    for name in dict.fromkeys(row.estimator for row in rows):
        mine = [row for row in rows if row.estimator == name]
        steps = min(len(row.losses) for row in mine)
        bound = -np.mean([row.losses[:steps] for row in mine], axis=0)
        at, smooth = _smooth(bound)
        second = float(np.mean([row.step_seconds for row in mine]))
        shown = at <= min(row.at_steps.steps for row in mine)
        by_step.plot(at[shown], smooth[shown], label=name, linewidth=1.2, **_style(name))
        by_second.plot(at * second, smooth, label=name, linewidth=1.2, **_style(name))
        finals.append(smooth[-1])
        starts.append(smooth[len(smooth) // 10])
    low, high = float(np.median(starts)), max(finals)
    by_step.set_ylim(low - 0.05 * (high - low) - 1e-6, high + 0.05 * (high - low) + 1e-6)
    by_step.set_xlabel("step")
    by_second.set_xlabel("seconds, without compilation")
    by_step.set_ylabel("training bound (nats per image)")
    by_second.legend(frameon=False, fontsize=8)
    figure.suptitle(title, fontsize=11)
    figure.savefig(path, dpi=110)


def bars(path: Path, table: Mapping[str, Mapping[str, Any]], title: str) -> None:
    """Draw each estimator's gradient variance and the time of its step.

    :param path: the PNG to write.
    :param table: as `summarise` made it.
    :param title: stands above.
    """
    variances = {name: row["gradient_variance"] or float("nan") for name, row in table.items()}
    names = sorted(table, key=lambda name: (-variances[name], name))
    figure = new_figure(9.0, 0.9 + 0.3 * len(names))
    variance, step = figure.subplots(1, 2, sharey=True)
    colours = [_style(name)["color"] for name in names]
    variance.barh(names, [variances[n] for n in names], color=colours)
    variance.set_xscale("log")
    variance.set_xlabel("gradient variance per image, at one point")
    step.barh(names, [table[n]["median_step_ms"] for n in names], color=colours)
    step.set_xlabel("time of a step (ms)")
    figure.suptitle(title, fontsize=11)
    figure.savefig(path, dpi=110)


def _style(name: str) -> dict[str, Any]:
    """An estimator looks the same in every figure, whichever others are beside it."""
    index = list(ESTIMATORS).index(name)
    return {"color": f"C{index % 10}", "linestyle": "-" if index < 10 else "--"}


def _smooth(values: NDArray[np.floating]) -> tuple[NDArray[Any], NDArray[Any]]:
    window = max(1, min(100, len(values) // 5))
    smooth = np.convolve(values, np.ones(window) / window, mode="valid")
    return np.arange(window, len(values) + 1), smooth
