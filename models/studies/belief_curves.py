"""The pictures of the sigmoid belief network's study."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from models.common.figures import new_figure

ORDER = (
    *("score", "score-average", "score-network", "rloo", "disarm", "rebar", "rebar-fixed"),
    *("relax", "relax-network", "straight-through", "tracegraph"),
)


def style(name: str) -> dict[str, Any]:
    """An estimator looks the same in every figure, whichever others are beside it."""
    index = ORDER.index(name)
    return {"color": f"C{index % 10}", "linestyle": "-" if index < 10 else "--"}


def curves(
    path: Path, losses: Mapping[str, Any], seconds: Mapping[str, float], steps: int, title: str
) -> None:
    """Draw the smoothed training bound against steps and against seconds.

    :param path: the PNG to write.
    :param losses: of every step, averaged over seeds.
    :param seconds: of one step.
    :param steps: as far as the left half goes.
    :param title: stands above.
    """
    figure = new_figure(11.0, 4.8)
    by_step, by_second = figure.subplots(1, 2, sharey=True)
    starts, ends = [], []
    for name, loss in losses.items():
        window = max(1, min(100, len(loss) // 5))
        smooth = -np.convolve(loss, np.ones(window) / window, mode="valid")
        at = np.arange(window, len(loss) + 1)
        shown = at <= steps
        by_step.plot(at[shown], smooth[shown], label=name, linewidth=1.2, **style(name))
        by_second.plot(at * seconds[name], smooth, label=name, linewidth=1.2, **style(name))
        starts.append(smooth[len(smooth) // 10])
        ends.append(smooth[-1])
    low, high = float(np.median(starts)), max(ends)
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
    :param table: the study's.
    :param title: stands above.
    """
    variances = {name: row["variance"] or float("nan") for name, row in table.items()}
    names = sorted(table, key=lambda name: (-variances[name], name))
    figure = new_figure(9.0, 0.9 + 0.3 * len(names))
    variance, step = figure.subplots(1, 2, sharey=True)
    colours = [style(name)["color"] for name in names]
    variance.barh(names, [variances[n] for n in names], color=colours)
    variance.set_xscale("log")
    variance.set_xlabel("gradient variance per image, at one point")
    step.barh(names, [table[n]["step_ms"] for n in names], color=colours)
    step.set_xlabel("time of a step (ms)")
    figure.suptitle(title, fontsize=11)
    figure.savefig(path, dpi=110)
