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


def image_grid(
    path: Path, images: NDArray[np.floating], title: str, columns: int = 10, side: int = 28
) -> None:
    """Draw images, each (side * side,) with values in [0, 1], as one grid."""
    rows = -(-len(images) // columns)
    figure = new_figure(0.6 * columns, 0.6 * rows + 0.4)
    show_sheet(figure.subplots(), tile(images.reshape(-1, side, side), columns))
    figure.suptitle(title, fontsize=11)
    figure.savefig(path, dpi=130)


def show_sheet(axis: Any, sheet: NDArray[np.floating]) -> None:
    """Show a sheet of images on an axis, without ticks or frame."""
    axis.imshow(sheet, cmap="gray", vmin=0.0, vmax=1.0, interpolation="nearest")
    axis.set_xticks([])
    axis.set_yticks([])
    for spine in axis.spines.values():
        spine.set_visible(False)


def loss_curve(
    path: Path,
    losses: NDArray[np.floating],
    title: str,
    ylabel: str,
    levels: Mapping[str, float],
    window: int = 50,
) -> None:
    """Draw losses against steps, smoothed, with labelled horizontal levels.

    :param path: the PNG to write.
    :param losses: shape (steps,).
    :param title: stands above.
    :param ylabel: names the quantity and its unit.
    :param levels: label to height of a dashed line.
    :param window: how many steps the smoothed curve averages over.
    """
    figure = new_figure(7.0, 4.2)
    axis = figure.subplots()
    steps = np.arange(1, len(losses) + 1)
    axis.plot(steps, losses, color="tab:blue", alpha=0.25, linewidth=0.8, label="each step")
    window = min(window, len(losses))
    if window > 1:
        smooth = np.convolve(losses, np.ones(window) / window, mode="valid")
        axis.plot(steps[window - 1 :], smooth, color="tab:blue", label=f"mean of {window} steps")
    colours: Sequence[str] = ("tab:red", "tab:green", "tab:purple", "tab:brown")
    for colour, (label, height) in zip(colours, levels.items(), strict=False):
        axis.axhline(height, color=colour, linestyle="--", linewidth=1.2, label=label)
    # The first steps start far above everything worth seeing.
    shown = np.concatenate([losses[len(losses) // 20 :], list(levels.values())])
    low, high = float(shown.min()), float(shown.max())
    pad = 0.05 * (high - low) + 1e-9
    axis.set_ylim(low - pad, high + pad)
    axis.set_xlabel("step")
    axis.set_ylabel(ylabel)
    axis.set_title(title, fontsize=11)
    axis.legend(frameon=False, fontsize=9)
    figure.savefig(path, dpi=130)
