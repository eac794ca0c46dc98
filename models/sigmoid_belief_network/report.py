"""What a run leaves behind: the printed table, the curves and the metrics file."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.common.data import Digits
from models.common.figures import new_figure
from models.common.outputs import versions, write_metrics, written_together
from models.sigmoid_belief_network.result import Row

FILES = ("curves.png", "metrics.json")


def summarise(asked: Mapping[str, Any], digits: Digits, rows: Sequence[Row]) -> dict[str, Any]:
    """The numbers of a run, for the metrics file and for the printed table.

    Args:
        asked: the run's options, by name.
        digits: the images.
        rows: what came of it.

    Returns:
        A dictionary that JSON can hold. "rows" has one entry for each training, "table" one for
        each estimator, averaged over the seeds; bounds are in nats per image.
    """
    names = list(dict.fromkeys(row.estimator for row in rows))
    return {
        **asked,
        "data": digits.source,
        "binarisation": "a pixel is 1 where its grey level is above one half",
        "training_images": len(digits.train),
        "held_out_images": len(digits.test),
        "table": {name: _mean([r for r in rows if r.estimator == name]) for name in names},
        "rows": [_numbers(row) | {"learned": dict(row.learned)} for row in rows],
        "versions": versions("relaxppl", "numpy", "numpyro", "jax", "pyro-ppl", "torch"),
    }


def _numbers(row: Row) -> dict[str, Any]:
    tail = max(1, len(row.losses) // 20)
    reached = {f"equal_time_{key}": value for key, value in row.equal_time.items()}
    return {
        "estimator": row.estimator,
        "seed": row.seed,
        "training_bound": row.train_bound,
        "discrete_test_bound": row.test_bound,
        "gradient_variance": row.variance,
        "median_step_ms": 1e3 * row.step_seconds,
        "training_seconds": row.train_seconds,
        "last_losses": float(row.losses[-tail:].mean()),
        **reached,
    }


def _mean(rows: Sequence[Row]) -> dict[str, Any]:
    each = [_numbers(row) for row in rows]
    means = {
        key: None if each[0][key] is None else float(np.mean([e[key] for e in each]))
        for key in each[0]
        if key not in ("estimator", "seed")
    }
    bounds = [row.train_bound for row in rows]
    spread = float(np.std(bounds, ddof=1)) if len(bounds) > 1 else None
    return {**means, "training_bound_spread": spread, "seeds": len(rows)}


def lines(metrics: Mapping[str, Any]) -> list[str]:
    """The printed table, best training bound first."""
    timed = any("equal_time_steps" in row for row in metrics["table"].values())
    head = f"{'estimator':17s}{'training':>10s}{'test':>10s}{'variance':>11s}{'step':>10s}"
    if timed:
        head += f"{'at equal time:':>18s}{'training':>10s}{'test':>10s}"
    out = [
        f"{metrics['backend']}, {metrics['layers']} layer(s), {metrics['steps']} steps, "
        f"{'exact' if metrics['exact_kl'] else 'sampled'} KL, "
        f"{len(metrics['seeds'])} seed(s); bounds in nats per image",
        head,
    ]
    ranked = sorted(metrics["table"].items(), key=lambda item: -item[1]["training_bound"])
    for name, row in ranked:
        line = f"{name:17s}{row['training_bound']:10.2f}{_number(row['discrete_test_bound'])}"
        line += f"{row['gradient_variance']:11.4g}{row['median_step_ms']:7.2f} ms"
        if timed:
            line += f"{row['equal_time_steps']:12.0f} steps{row['equal_time_train_bound']:10.2f}"
            line += _number(row["equal_time_test_bound"])
        out.append(line)
    return out


def _number(value: float | None) -> str:
    return f"{'-':>10s}" if value is None else f"{value:10.2f}"


def write(out: Path, metrics: Mapping[str, Any], rows: Sequence[Row]) -> None:
    """Write every file of `FILES` into a folder, together.

    Args:
        out: the folder.
        metrics: as `summarise` made them.
        rows: what came of the run.

    Raises:
        BadArgumentError: the folder cannot be written.
    """
    with written_together(out) as folder:
        curves(folder / "curves.png", rows, f"Sigmoid belief network, {metrics['backend']}")
        write_metrics(folder / "metrics.json", metrics)


def curves(path: Path, rows: Sequence[Row], title: str) -> None:
    """Draw the smoothed training bound against steps and against seconds.

    Args:
        path: the PNG to write.
        rows: trainings; those of one estimator are averaged.
        title: stands above.
    """
    figure = new_figure(11.0, 4.6)
    by_step, by_second = figure.subplots(1, 2, sharey=True)
    finals, starts = [], []
    for index, name in enumerate(dict.fromkeys(row.estimator for row in rows)):
        mine = [row for row in rows if row.estimator == name]
        steps = min(len(row.losses) for row in mine)
        bound = -np.mean([row.losses[:steps] for row in mine], axis=0)
        at, smooth = _smooth(bound)
        style = {"color": f"C{index % 10}", "linestyle": "-" if index < 10 else "--"}
        by_step.plot(at, smooth, label=name, linewidth=1.2, **style)
        second = float(np.mean([row.step_seconds for row in mine]))
        by_second.plot(at * second, smooth, label=name, linewidth=1.2, **style)
        finals.append(smooth[-1])
        starts.append(smooth[len(smooth) // 10])
    low, high = min(starts), max(finals)
    by_step.set_ylim(low - 0.05 * (high - low) - 1e-6, high + 0.05 * (high - low) + 1e-6)
    by_step.set_xlabel("step")
    by_second.set_xlabel("seconds, without compilation")
    by_step.set_ylabel("training bound (nats per image)")
    by_second.legend(frameon=False, fontsize=8)
    figure.suptitle(title, fontsize=11)
    figure.savefig(path, dpi=110)


def _smooth(values: NDArray[np.floating]) -> tuple[NDArray[Any], NDArray[Any]]:
    window = max(1, min(100, len(values) // 5))
    smooth = np.convolve(values, np.ones(window) / window, mode="valid")
    return np.arange(window, len(values) + 1), smooth
