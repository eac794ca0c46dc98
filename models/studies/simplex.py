"""Densities on the triangle, and distances between them, by quadrature in softmax coordinates."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Density = Callable[[NDArray[np.float64]], NDArray[np.float64]]
"""Log density at points of the simplex, (..., 3) to (...)."""

NAMES = ("Dirichlet", "its logistic-normal", "the way back")


@dataclass(frozen=True)
class Grid:
    """A grid in the plane of y_1 - y_3 and y_2 - y_3, where densities are smooth and bounded.

    :param points: softmax(y), (side, side, 3).
    :param weight: the area of a cell on the simplex, (side, side).
    """

    points: NDArray[np.float64]
    weight: NDArray[np.float64]


def grid(half_width: float = 20.0, side: int = 801) -> Grid:
    """A grid over differences up to `half_width` either way."""
    axis = np.linspace(-half_width, half_width, side)
    y = np.stack([*np.meshgrid(axis, axis, indexing="ij"), np.zeros((side, side))], -1)
    points = np.exp(y - y.max(-1, keepdims=True))
    points /= points.sum(-1, keepdims=True)
    # dx_1 dx_2 = x_1 x_2 x_3 dy_1 dy_2.
    return Grid(points, points.prod(-1) * (axis[1] - axis[0]) ** 2)


def distances(densities: Mapping[str, Density], where: Grid) -> dict[str, Any]:
    """Total variation between densities, half the integral of |f - g|.

    :param densities: the first is the one to compare the others with.
    :param where: the grid.
    :returns: "total_variation", name to distance from the first; "mass", each integral of a
        density, which is 1 where the grid serves.
    """
    values = {name: np.exp(log_density(where.points)) for name, log_density in densities.items()}
    first, *others = values
    return {
        "mass": {name: float((f * where.weight).sum()) for name, f in values.items()},
        "total_variation": {
            name: float(0.5 * (np.abs(values[name] - values[first]) * where.weight).sum())
            for name in others
        },
    }


def draw(path: Path, rows: Mapping[str, Mapping[str, Density]], found: Mapping[str, Any]) -> None:
    """Draw each row's densities as triangles side by side.

    :param path: the PNG.
    :param rows: label to densities.
    :param found: label to what `distances` returned.
    """
    from matplotlib.tri import Triangulation

    from models.common.figures import new_figure

    corners = np.array([[0.0, 0.0], [1.0, 0.0], [0.5, np.sqrt(0.75)]])
    count = 90
    steps = [(i, j) for i in range(1, count) for j in range(1, count - i)]
    inner = np.array([(i, j, count - i - j) for i, j in steps]) / count
    place = inner @ corners
    triangles = Triangulation(place[:, 0], place[:, 1])
    figure = new_figure(9.6, 3.0 * len(rows) + 0.2)
    axes = figure.subplots(len(rows), 3, squeeze=False)
    for line, (label, densities) in zip(axes, rows.items(), strict=True):
        values = {name: np.exp(f(inner)) for name, f in densities.items()}
        top = np.max(next(iter(values.values())))
        for axis, (name, value) in zip(line, values.items(), strict=True):
            levels = np.linspace(0.0, 1.1 * top, 23)
            axis.tricontourf(triangles, np.minimum(value, levels[-1]), levels, cmap="viridis")
            axis.plot(*corners[[0, 1, 2, 0]].T, color="black", linewidth=0.8)
            axis.set_aspect("equal")
            axis.axis("off")
            distance = found[label]["total_variation"].get(name)
            tail = label if distance is None else f"total variation {distance:.2g}"
            axis.set_title(f"{name}\n{tail}", fontsize=10)
    figure.savefig(path, dpi=130)
