"""Figures of images and training curves, drawn without a display."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray


def new_figure(width: float, height: float) -> Figure:
    """A matplotlib figure that belongs to no window and to no global state."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def tile(images: NDArray[np.floating], columns: int, gap: int = 2) -> NDArray[np.floating]:
    """Lay images out on one sheet, row by row, with a lighter gap between them.

    :param images: shape (n, height, width), values in [0, 1].
    :param columns: images in a row.
    :param gap: pixels between images.
    :returns: the sheet, shape (rows * (height + gap) + gap, columns * (width + gap) + gap).
    """
    count, height, width = images.shape
    rows = -(-count // columns)
    sheet = np.full((rows * (height + gap) + gap, columns * (width + gap) + gap), 0.35)
    for index, image in enumerate(images):
        top = gap + (index // columns) * (height + gap)
        left = gap + (index % columns) * (width + gap)
        sheet[top : top + height, left : left + width] = image
    return sheet


def image_rows(
    path: Path, rows: Mapping[str, NDArray[np.floating]], title: str, side: int = 28
) -> None:
    """Draw labelled strips of images, one above the other.

    :param path: the PNG to write.
    :param rows: label to images, each (n, side * side), values in [0, 1]; the same n throughout.
    :param title: stands above.
    :param side: height and width of an image.
    """
    columns = max(len(images) for images in rows.values())
    figure = new_figure(1.7 + 0.62 * columns, 0.55 + 0.72 * len(rows))
    axes = figure.subplots(len(rows), 1, squeeze=False)[:, 0]
    for axis, (label, images) in zip(axes, rows.items(), strict=True):
        show_sheet(axis, tile(images.reshape(-1, side, side), columns))
        axis.set_ylabel(label, rotation=0, ha="right", va="center", fontsize=10)
    figure.suptitle(title, fontsize=11)
    figure.savefig(path, dpi=130)


def show_sheet(axis: Any, sheet: NDArray[np.floating]) -> None:
    """Show a sheet of images on an axis, without ticks or frame."""
    axis.imshow(sheet, cmap="gray", vmin=0.0, vmax=1.0, interpolation="nearest")
    axis.set_xticks([])
    axis.set_yticks([])
    for spine in axis.spines.values():
        spine.set_visible(False)


def group_shares(where: Any, answers: Mapping[str, NDArray[np.floating]], labels: Any) -> None:
    """Draw each answer's probabilities of every item's group as shares of a bar, row by row.

    :param where: the PNG to write, or the axis to draw on.
    :param answers: name to probabilities, (items, groups).
    :param labels: one for each item.
    """
    figure = new_figure(6.5, 0.8 + 0.5 * len(answers))
    axis = figure.subplots() if isinstance(where, Path) else where
    for row, probs in enumerate(answers.values()):
        edge = np.zeros(len(labels))
        for group, share in enumerate(0.8 * np.asarray(probs).T):
            axis.bar(np.arange(len(labels)), share, 0.9, row + edge - 0.4, color=f"C{group}")
            edge = edge + share
    axis.set_yticks(range(len(answers)), list(answers), fontsize=8)
    axis.invert_yaxis()
    axis.set_xticks(range(len(labels)), [f"{label:g}" for label in labels], fontsize=8)
    axis.set_title("probability of each group", fontsize=10)
    if isinstance(where, Path):
        figure.savefig(where, dpi=130)


def gate_openness(path: Path, gates: NDArray[np.floating], relevant: NDArray[np.bool_]) -> None:
    """Draw how far every gate is open, a row for each regression, and mark those that should be.

    :param path: the PNG to write.
    :param gates: means between 0 and 1, (regressions, features).
    :param relevant: of the same shape.
    """
    figure = new_figure(10.0, 1.2 + 0.17 * len(gates))
    axis = figure.subplots()
    shown = axis.imshow(gates, cmap="gray_r", vmin=0.0, vmax=1.0, aspect="auto")
    row, column = np.nonzero(relevant)
    axis.scatter(column, row, s=40, facecolors="none", edgecolors="tab:red", label="relevant")
    axis.set_xlabel("feature")
    axis.set_ylabel("regression")
    axis.legend(loc="upper right", fontsize=8)
    figure.colorbar(shown, label="mean of the gate")
    figure.savefig(path, dpi=130)


def pixels_over(
    where: Path | Sequence[Any], images: NDArray[np.floating], chosen: Mapping[str, Any]
) -> None:
    """Draw chosen pixels over the mean image, one picture for each way to choose.

    :param where: the PNG to write, or the axes to draw on.
    :param images: (n, 784).
    :param chosen: name to pixels.
    """
    figure = new_figure(3.0 * len(chosen) + 0.2, 3.4)
    axes = figure.subplots(1, len(chosen), squeeze=False)[0] if isinstance(where, Path) else where
    for axis, (name, pixels) in zip(axes, chosen.items(), strict=False):
        axis.imshow(images.mean(0).reshape(28, 28), cmap="gray_r", vmax=1.5)
        axis.scatter(pixels % 28, pixels // 28, marker="s", s=26, color="tab:red")
        axis.set_xticks([])
        axis.set_yticks([])
        axis.set_title(name, fontsize=10)
    if isinstance(where, Path):
        figure.savefig(where, dpi=130)
