"""Sharpness against temperature, the grids of two temperatures, and the trainings."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from models.common.figures import new_figure
from models.studies.accuracy.hosts import HOSTS

STATISTICS = {
    "entropy": "entropy of the value's law (nats)",
    "variance": "variance of the soft vector",
    "max_probability": "largest weight of the soft vector",
    "gap": "distance from hard to soft",
}


def draws(
    backend: str, logits: Any, pair: tuple[float, float], scaled: bool, count: int, seed: int
) -> tuple[Any, Any, Any]:
    """Values, the soft vectors behind their gradients, and the class probabilities."""
    host = HOSTS[backend]()
    forward, backward, a = (host.xp.asarray(x) for x in (*np.array(pair, np.float32), logits))
    law = host.rx.DecoupledStraightThroughGumbelSoftmax
    value = law(forward, backward, logits=a, scale_logits=scaled)
    soft = host.rx.RelaxedOneHotCategorical(backward, logits=a / forward if scaled else a)
    found = host.draw(value, seed, count), host.draw(soft, seed, count), value.class_probs
    hard, weights, probs = (np.asarray(x, float) for x in found)
    return hard, weights, probs


def statistics(hard: Any, soft: Any, probs: Any) -> dict[str, float]:
    """The entries of `STATISTICS` for draws of hard and soft vectors, (n, K) each.

    The variance is summed over classes; the distance is the mean total variation.
    """
    return {
        "entropy": float(-(probs * np.log(np.maximum(probs, 1e-30))).sum()),
        "variance": float(soft.var(0).sum()),
        "max_probability": float(soft.max(1).mean()),
        "gap": float(0.5 * np.abs(hard - soft).sum(1).mean()),
    }


def sharpness(path: Path, curves: Mapping[str, Any], temperatures: Sequence[float]) -> None:
    """Draw the soft vector's largest weight and entropy against temperature."""
    figure = new_figure(9.0, 3.6)
    axes = figure.subplots(1, 2)
    for label, curve in curves.items():
        axes[0].semilogx(temperatures, curve["max_probability"], "o-", ms=3, label=label)
        axes[1].semilogx(temperatures, curve["soft_entropy"], "o-", ms=3, label=label)
    axes[0].set_ylabel("largest weight, mean")
    axes[1].set_ylabel("entropy of the weights, mean (nats)")
    for axis in axes:
        axis.set_xlabel("temperature")
    axes[0].legend(frameon=False, fontsize=8)
    figure.savefig(path, dpi=130)


def grids(path: Path, found: Mapping[str, Any], temperatures: Sequence[float]) -> None:
    """Draw each statistic over forward and backward temperature, a row for each form."""
    figure = new_figure(14.0, 6.6)
    axes = figure.subplots(2, len(STATISTICS))
    for line, (form, table) in zip(axes, found.items(), strict=True):
        for axis, (key, title) in zip(line, STATISTICS.items(), strict=True):
            both = np.concatenate([np.ravel(other[key]) for other in found.values()])
            heat(axis, np.array(table[key]), temperatures, (both.min(), both.max()))
            axis.set_title(f"{title}\n{form}", fontsize=9)
    figure.savefig(path, dpi=130)


def heat(axis: Any, table: Any, temperatures: Sequence[float], limits: Any = None) -> None:
    """Draw a table of forward (rows) and backward (columns) temperatures with its numbers."""
    low, high = limits or (table.min(), table.max())
    axis.imshow(table, vmin=low, vmax=high, cmap="viridis")
    ticks = np.arange(len(temperatures))
    axis.set_xticks(ticks, [f"{t:g}" for t in temperatures], fontsize=8)
    axis.set_yticks(ticks, [f"{t:g}" for t in temperatures], fontsize=8)
    axis.set_xlabel("backward temperature", fontsize=8)
    axis.set_ylabel("forward temperature", fontsize=8)
    for (i, j), value in np.ndenumerate(table):
        colour = "black" if value > 0.5 * (low + high) else "white"
        axis.text(j, i, f"{value:.2f}", ha="center", va="center", color=colour, fontsize=7)


def training(path: Path, table: Any, temperatures: Sequence[float], final: Any) -> None:
    """Draw the loss over both temperatures, and fresh seeds at the chosen ones."""
    figure = new_figure(9.4, 4.2)
    axes = figure.subplots(1, 2)
    heat(axes[0], table, temperatures)
    axes[0].set_title("validation loss (nats per image)", fontsize=10)
    for values in np.transpose([row["test_loss"] for row in final.values()]):
        axes[1].plot(range(len(final)), values, "o-", color="grey", linewidth=0.7, ms=4)
    means = [np.mean(row["test_loss"]) for row in final.values()]
    axes[1].plot(range(len(final)), means, "_", color="tab:red", ms=30, mew=2)
    labels = [f"{name}\n({row['forward']:g}, {row['backward']:g})" for name, row in final.items()]
    axes[1].set_xticks(range(len(final)), labels, fontsize=9)
    axes[1].set_xlim(-0.5, len(final) - 0.5)
    axes[1].set_title("test loss, fresh seeds joined", fontsize=10)
    figure.savefig(path, dpi=130)
