"""Canvases with no digit, one or two, and pictures of what a program finds on them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.common.figures import new_figure

SIDE = 24
"""Height and width of a canvas, in pixels."""
GLIMPSE = 10
"""Height and width of the image of an object, whatever its size on the canvas."""
DATA_SEED = 20240501


@dataclass(frozen=True)
class Canvases:
    """Grey canvases, split by the digits that they show into those to fit and those held out.

    :param train: float32 in [0, 1], shape (n, 24, 24).
    :param test: shape (m, 24, 24); no digit of a training canvas is on one.
    :param test_counts: how many digits each shows, shape (m,).
    """

    train: NDArray[np.float32]
    test: NDArray[np.float32]
    test_counts: NDArray[np.int64]


def hats(at: NDArray[np.floating], size: int) -> NDArray[np.floating]:
    """Weights of linear interpolation at positions in a row of pixels, shape (n, size)."""
    return np.maximum(0.0, 1.0 - np.abs(at[:, None] - np.arange(size)))


def load_canvases(train: int = 4000, held_out: int = 300) -> Canvases:
    """Scikit-learn's digits, 8 to 12 pixels wide, none, one or two on a canvas, no two overlapping.

    :param train: how many canvases to fit.
    :param held_out: how many to hold out.
    :returns: the canvases, the same on every call.
    """
    from sklearn.datasets import load_digits

    images, rng = load_digits().images / 16.0, np.random.default_rng(DATA_SEED)
    order, made, counts = rng.permutation(len(images)), [], rng.integers(0, 3, train + held_out)
    for row, count in enumerate(counts):
        canvas, (sizes, corners) = np.zeros((SIDE, SIDE)), places(rng, count)
        for size, (top, left) in zip(sizes, corners, strict=True):
            digit = rng.choice(order[:1400] if row < train else order[1400:])
            wide = hats((np.arange(size) + 0.5) / size * 8.0 - 0.5, 8)
            canvas[top : top + size, left : left + size] = wide @ images[digit] @ wide.T
        made.append(canvas)
    canvases = np.array(made, np.float32)
    return Canvases(canvases[:train], canvases[train:], counts[train:])


def places(rng: np.random.Generator, count: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Widths and corners of squares on a canvas that do not overlap, drawn until they do not."""
    while True:
        sizes = rng.integers(8, 13, count)
        corners = rng.integers(0, SIDE - sizes[:, None] + 1, (count, 2))
        centres = corners + sizes[:, None] / 2
        if count < 2 or np.abs(centres[0] - centres[1]).max() >= sizes.mean():
            return sizes, corners


def box(where: Any) -> tuple[Any, Any]:
    """Width and centre of an object in pixels; at (0, 0, 0) it has ten, in the middle.

    :param where: of either host or NumPy, shape (..., 3, 1).
    :returns: of shapes (..., 1, 1) and (..., 2, 1).
    """
    return 10.0 * 1.2 ** where[..., :1, :], (SIDE - 1) / 2 + 5.0 * where[..., 1:, :]


def in_box(where: Any, pixels: Any) -> Any:
    """Where rows and columns of the canvas are in the object's own image of ten by ten pixels.

    :param where: shape (..., 3, 1).
    :param pixels: numbers of rows and columns, shape (n,).
    :returns: shape (..., 2, n).
    """
    width, centre = box(where)
    return (pixels - centre) / width * GLIMPSE + (GLIMPSE - 1) / 2


def on_canvas(where: Any, pixels: Any) -> Any:
    """Where rows and columns of the object's own image are on the canvas, as `in_box`."""
    width, centre = box(where)
    return (pixels - (GLIMPSE - 1) / 2) / GLIMPSE * width + centre


def canvases_chart(path: Path, canvases: NDArray[np.floating], posterior: Any, title: str) -> None:
    """Draw canvases with a box around each object of one draw, over their reconstructions.

    :param path: the PNG to write.
    :param canvases: shape (n, 24, 24).
    :param posterior: of `to_arviz`, with made, and present_0, where_0 and so on.
    :param title: stands above.
    """
    draw = {name: values.values[0, -1] for name, values in posterior.items()}
    figure = new_figure(0.95 * len(canvases), 2.5)
    rows = figure.subplots(2, len(canvases))
    for images, axes in zip((canvases, draw["made"]), rows, strict=True):
        for image, axis in zip(images, axes, strict=True):
            axis.imshow(image, cmap="gray", vmin=0.0, vmax=1.0)
            axis.set_xticks([])
            axis.set_yticks([])
    there, corners = np.ones(len(canvases)), np.array([[-1, -1, 1, 1, -1], [-1, 1, 1, -1, -1]])
    for step, colour in enumerate(("#E69F00", "#56B4E9")):
        there = there * draw[f"present_{step}"]
        width, centre = box(draw[f"where_{step}"][..., None])
        for column in np.flatnonzero(there):
            down, across = centre[column] + width[column] / 2 * corners
            options = {"linewidth": 1.5, "scalex": False, "scaley": False}
            rows[0, column].plot(across, down, color=colour, **options)
    rows[0, 0].set_ylabel("held out", fontsize=9)
    rows[1, 0].set_ylabel("as found", fontsize=9)
    figure.suptitle(title, fontsize=11)
    figure.savefig(path, dpi=130)
