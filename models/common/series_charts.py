"""Pictures of series and of the states behind them, the same for both hosts."""

from pathlib import Path

import numpy as np

from models.common.charts import OKABE
from models.common.figures import new_figure


def states_chart(
    path: Path, y: np.ndarray, guide: np.ndarray, exact: np.ndarray, title: str
) -> None:
    """Draw a series over the probability of a state at each step, by a guide and exactly.

    :param path: the PNG to write.
    :param y: the series, in per cent, shape (T,).
    :param guide: the probability, shape (T,).
    :param exact: the same exactly.
    :param title: stands above.
    """
    figure = new_figure(9.0, 4.2)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(1.2, 1.0))
    above.bar(np.arange(len(y)), y, width=1.0, color="0.45")
    above.set_ylabel("return in %")
    below.plot(exact, color=OKABE[1], linewidth=2.5, alpha=0.6, label="exact")
    below.plot(guide, color=OKABE[0], linewidth=1.0, label="guide")
    below.set_ylim(-0.02, 1.02)
    below.set_xlabel("trading day")
    below.set_ylabel("probability of turbulence")
    below.legend(frameon=False, fontsize=9, loc="upper left")
    figure.suptitle(title, fontsize=11)
    figure.savefig(path, dpi=130)


def phases_chart(
    path: Path, years: np.ndarray, y: np.ndarray, level: np.ndarray, rising: np.ndarray, title: str
) -> None:
    """Draw a series with its smooth level, and how probable it is at each step that it rises.

    :param path: the PNG to write.
    :param years: of each step, shape (T,).
    :param y: the series, shape (T,).
    :param level: draws of the level, shape (draws, T).
    :param rising: the probability, shape (T,).
    :param title: stands above.
    """
    figure = new_figure(9.0, 4.2)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(1.6, 1.0))
    above.plot(years, y, ".", color="0.6", markersize=2.5, label="seen")
    low, high = np.quantile(level, (0.05, 0.95), 0)
    above.fill_between(years, low, high, color=OKABE[0], alpha=0.5, label="level, 90 % of draws")
    above.set_ylabel("root of the sunspot number")
    above.legend(frameon=False, fontsize=9, loc="upper left", ncols=2)
    below.fill_between(years, rising, color=OKABE[1], linewidth=0)
    below.set_ylim(0, 1)
    below.set_ylabel("probability of a rise")
    figure.suptitle(title, fontsize=11)
    figure.savefig(path, dpi=130)
