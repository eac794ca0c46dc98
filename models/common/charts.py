"""Pictures of what the programs of the gallery find, the same for both hosts."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from models.common.exact import component_densities
from models.common.figures import new_figure

OKABE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
"""Colours that stay apart for colour-blind readers (Okabe and Ito, 2008)."""


def items_chart(path: Path, data: Any, title: str, patterns: int = 10) -> None:
    """Draw each item's probabilities with 90 % intervals, and the commonest patterns of skills.

    :param path: the PNG to write.
    :param data: of `to_arviz`, with slip and guess in a dimension item, and skill.
    :param title: stands above.
    :param patterns: how many patterns to show.
    """
    posterior = data["posterior"]
    names, skills = posterior["item"].values, posterior["skill_name"].values
    figure = new_figure(9.0, 5.6)
    left, right = figure.subplots(1, 2, width_ratios=(1.25, 1.0))
    for name, sign, label, colour in (
        ("slip", -1, "with all that the item needs", OKABE[0]),
        ("guess", 1, "without", OKABE[1]),
    ):
        draws = posterior[name].values.reshape(-1, len(names))
        low, middle, high = np.sort((sign < 0) + sign * np.quantile(draws, (0.05, 0.5, 0.95), 0), 0)
        order = np.arange(len(names))
        left.hlines(order, low, high, color=colour, linewidth=2)
        left.plot(middle, order, "o", color=colour, markersize=4, label=label)
    left.set_yticks(range(len(names)), names, fontsize=8)
    left.invert_yaxis()
    left.set_xlim(0, 1)
    left.set_xlabel("probability of a yes")
    left.legend(frameon=False, fontsize=9, loc="upper center", bbox_to_anchor=(0.5, -0.1), ncols=2)
    bits = posterior["skill"].values.reshape(-1, len(skills))
    common = Counter(map(tuple, bits.astype(int).tolist())).most_common(patterns)
    cells = np.array([pattern for pattern, _ in common])
    right.pcolormesh(cells, cmap="Blues", vmin=0, vmax=1.4, edgecolors="white", linewidth=2)
    right.set_xticks(np.arange(len(skills)) + 0.5, skills)
    right.set_yticks(np.arange(len(common)) + 0.5, [f"{n / len(bits):.0%}" for _, n in common])
    right.invert_yaxis()
    right.set_ylabel("share of people with the pattern")
    figure.suptitle(title, fontsize=11)
    figure.savefig(path, dpi=130)


def components_chart(
    path: Path,
    y: np.ndarray,
    mixture: tuple[np.ndarray, ...],
    used: np.ndarray,
    truth: np.ndarray,
    title: str,
) -> None:
    """Draw a mixture's density with a 90 % band over the data, and how many components it uses.

    :param path: the PNG to write.
    :param y: the data, shape (n,).
    :param mixture: weights, locations and scales, each of shape (draws, components).
    :param used: number of components with a point of the data, shape (draws,).
    :param truth: the same by a Gibbs sampler, of any shape.
    :param title: stands above.
    """
    figure = new_figure(9.0, 3.8)
    left, right = figure.subplots(1, 2, width_ratios=(1.8, 1.0))
    grid = np.linspace(y.min() - 2, y.max() + 2, 300)
    density = component_densities(grid, *mixture).sum(-1)
    left.hist(y, bins=40, density=True, color="0.85", label="data")
    low, high = np.quantile(density, (0.05, 0.95), 0)
    left.fill_between(grid, low, high, color=OKABE[0], alpha=0.35, label="90 % of the draws")
    left.plot(grid, density.mean(0), color=OKABE[0], label="mean")
    left.set_xlabel("speed in 1,000 km/s")
    left.set_ylabel("density")
    left.legend(frameon=False, fontsize=9)
    for found, side, label in ((used, -0.2, "guide"), (truth, 0.2, "Gibbs sampler")):
        values, counts = np.unique(found, return_counts=True)
        colour = OKABE[0] if side < 0 else OKABE[1]
        right.bar(values + side, counts / found.size, 0.4, color=colour, label=label)
    right.set_xticks(range(1, mixture[0].shape[-1] + 1))
    right.legend(frameon=False, fontsize=9)
    right.set_xlabel("components in use")
    right.set_ylabel("probability")
    figure.suptitle(title, fontsize=11)
    figure.savefig(path, dpi=130)


def places_chart(
    path: Path, names: Sequence[str], exact: np.ndarray, guide: np.ndarray, title: str
) -> None:
    """Draw the probability of each place for each of some people, exact and by a guide.

    :param path: the PNG to write.
    :param names: of the people.
    :param exact: people by places, shape (n, n).
    :param guide: likewise.
    :param title: stands above.
    """
    figure = new_figure(10.0, 4.2)
    left, middle, right = figure.subplots(1, 3, width_ratios=(1.0, 1.0, 0.8))
    places = np.arange(len(names))
    order, top = np.argsort(exact @ places), max(exact.max(), guide.max())
    for axis, law, label in ((left, exact, "exact"), (middle, guide, "guide")):
        axis.pcolormesh(law[order], cmap="Blues", vmin=0, vmax=top)
        axis.set_title(f"{label}: probability of each place", fontsize=9)
        axis.set_xticks(places + 0.5, places + 1, fontsize=8)
        axis.set_yticks([])
        axis.invert_yaxis()
    left.set_yticks(places + 0.5, [names[i] for i in order], fontsize=9)
    for law, side, label in ((exact, -0.2, "exact"), (guide, 0.2, "guide")):
        colour = OKABE[1] if side < 0 else OKABE[0]
        right.barh(places + side, law[order, 0], 0.4, color=colour, label=label)
    right.set_yticks(places, [names[i] for i in order], fontsize=9)
    right.invert_yaxis()
    right.set_title("probability of being the best", fontsize=9)
    right.legend(frameon=False, fontsize=9)
    figure.suptitle(title, fontsize=11)
    figure.savefig(path, dpi=130)
