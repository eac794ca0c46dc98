"""What a calibration says: in words, to ArviZ, and as a picture."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np

from relaxppl.common.arviz.labels import plain
from relaxppl.common.arviz.tree import is_inference_data, require
from relaxppl.common.calibrate.checks import LOOKS, Check, of_flags, of_ranks
from relaxppl.common.calibrate.simulate import LOG_JOINT, Quantity
from relaxppl.common.diagnostics.text import table

SEED = 0
"""Of what breaks ties between ranks: the same for the same counts."""


class Calibration:
    """How a guide's posteriors of drawn data compare with the values that made the data.

    Printed, it is a verdict and a table. ``checks`` has the tests of each site, ``ranks`` the
    randomised ranks between 0 and 1, (data sets, *shape), and ``flags`` the true zeros and ones
    with the shares of ones among the guide's draws.

    :param counts: (2, data sets, elements), by name.
    :param quantities: by name.
    :param num_draws: of the guide for each data set.
    :param level: the chance that a right guide is called wrong.
    :param attrs: of the data for ArviZ.
    """

    def __init__(
        self,
        counts: Mapping[str, np.ndarray],
        quantities: Mapping[str, Quantity],
        num_draws: int,
        level: float,
        attrs: Mapping[str, str],
    ) -> None:
        self.num_draws, self.level, self.attrs = num_draws, level, dict(attrs)
        self._quantities = dict(quantities)
        self.checks: dict[str, Check] = {}
        self.ranks: dict[str, np.ndarray] = {}
        self.flags: dict[str, tuple[np.ndarray, np.ndarray]] = {}
        rng = np.random.default_rng(SEED)
        for name, (first, second) in counts.items():
            self.num_simulations = len(first)
            shape = (len(first), *quantities[name].shape)
            if quantities[name].is_flags:
                self.checks[name] = of_flags(first, second, num_draws)
                self.flags[name] = first.reshape(shape), (second / num_draws).reshape(shape)
            else:
                u = (first + rng.uniform(size=first.shape) * (second + 1)) / (num_draws + 1)
                self.checks[name] = of_ranks(u)
                self.ranks[name] = u.reshape(shape)

    @property
    def bar(self) -> float:
        """The p-value below which a site is flagged: the level, shared among all."""
        return self.level / len(self.checks)

    @property
    def flagged(self) -> list[str]:
        """What is not calibrated, the least likely first."""
        found = [name for name, check in self.checks.items() if check.p_value < self.bar]
        return sorted(found, key=lambda name: self.checks[name].p_value)

    @property
    def passed(self) -> bool:
        """Whether nothing is flagged."""
        return not self.flagged

    @property
    def verdict(self) -> str:
        """One or more sentences with the figures of the tests."""
        of = f"{self.num_simulations} data sets with {self.num_draws} draws each"
        if self.passed:
            least = min(self.checks, key=lambda name: self.checks[name].p_value)
            return (
                f"Nothing speaks against this guide: on {of}, the smallest p-value of "
                f"{len(self.checks)} is {self.checks[least].p_value:.2g} (of {least}), where one "
                f"below {self.bar:.2g} would be called wrong. Errors too small for so many data "
                "sets are not seen."
            )
        said = "; ".join(f"{name}: {self._words(name)}" for name in self.flagged)
        return (
            f"This guide is not calibrated, by {of} at the level {self.level:g}: {said}. Train "
            "longer, or take a guide that depends on more"
        )

    def _words(self, name: str) -> str:
        check = self.checks[name]
        worst = check.worst(self.bar)
        figure = f"p = {check.p_value:.1g}"
        size = check.size[worst]
        if worst == "element":
            shape = self._quantities[name].shape
            at = tuple(map(int, np.unravel_index(int(size), shape)))
            where = f"element {at}" if at else "its value"
            if name in self.flags:
                index: Any = (..., *at)
                truth, share = (x[index] for x in self.flags[name])
                return (
                    f"{where} is 1 in {truth.mean():.3f} of the data sets, {share.mean():.3f} by "
                    f"the guide ({figure})"
                )
            return f"{where} has ranks that are not uniform ({figure})"
        if name in self.flags:
            if worst == "shift":
                low = "low" if size > 0 else "high"
                return f"probabilities are too {low}, by {abs(size):.3f} on average ({figure})"
            near = "not sure enough" if size > 0 else "too sure"
            return (
                f"probabilities are {near}: where they differ by 0.1, frequencies differ by "
                f"{0.1 * (1 + size):.3f} ({figure})"
            )
        if name == LOG_JOINT and worst == "shift":
            return (
                "latent values and data together are "
                f"{'less' if size > 0 else 'more'} likely at the guide's draws than at the true "
                f"values, whose mean rank is {0.5 + size:.3f} in place of 0.5 ({figure})"
            )
        if worst == "shift":
            low = "low" if size > 0 else "high"
            return (
                f"draws are too {low}: the mean rank of the true values is {0.5 + size:.3f} in "
                f"place of 0.5 ({figure})"
            )
        narrow = "narrow" if size > 0 else "wide"
        return (
            f"draws are too {narrow}: the variance of the ranks is {12 * size + 1:.2f} times that "
            f"of uniform ones ({figure})"
        )

    def __str__(self) -> str:
        rows = [
            [name, *(f"{check.p[look]:.2g}" for look in check.p), f"{check.p_value:.2g}"]
            for name, check in self.checks.items()
        ]
        return "\n".join([self.verdict, *table(["", *LOOKS, "p-value"], rows)])

    def to_arviz(self) -> Any:
        """Returns what ArviZ works on: ``InferenceData`` with ArviZ 0.x, ``DataTree`` with 1.x.

        The group ``prior_sbc`` has the ranks, uniform for a right guide, with the data sets along
        the dimension draw, as ArviZ's ``plot_ecdf_pit`` takes them; ``calibration`` the true flags
        and the guide's probability of each, ``{site}_probability``. The attributes hold the verdict
        and the p-values.

        :raises ImportError: naming the extra, if ArviZ is not installed.
        """
        arviz, xarray = require()
        groups: dict[str, dict[str, Any]] = {"prior_sbc": {}, "calibration": {}}
        for name, u in self.ranks.items():
            groups["prior_sbc"][plain(name)] = self._variable(name, u)
        for name, (truth, share) in self.flags.items():
            groups["calibration"][plain(name)] = self._variable(name, truth)
            groups["calibration"][plain(name) + "_probability"] = self._variable(name, share)
        attrs = self.attrs | {"verdict": self.verdict, "num_draws": self.num_draws}
        attrs |= {f"p_value {plain(name)}": c.p_value for name, c in self.checks.items()}
        made = {g: xarray.Dataset(v, attrs=attrs) for g, v in groups.items() if v}
        if is_inference_data(arviz):
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", message=".*not defined in the InferenceData")
                return arviz.InferenceData(attrs=attrs, **made)
        tree = xarray.DataTree.from_dict(made)
        tree.attrs = attrs
        return tree

    def _variable(self, name: str, values: np.ndarray) -> tuple[tuple[str, ...], np.ndarray]:
        return ("chain", "draw", *self._quantities[name].dims), values[None]

    def plot(self, figure: Any = None) -> Any:
        """Draws a panel for each site: a histogram of ranks, or frequencies against probabilities.

        What a right guide gives lies in the grey band, 99 % of it.

        :param figure: matplotlib's; None for a new one.
        :returns: the figure.
        :raises ImportError: without matplotlib, naming the extra to install.
        """
        try:
            import matplotlib.pyplot as plt
        except ImportError as error:
            raise ImportError(
                'the plot needs matplotlib: pip install "relaxppl[models]"'
            ) from error
        columns = min(3, len(self.checks))
        lines = math.ceil(len(self.checks) / columns)
        if figure is None:
            figure = plt.figure(figsize=(3.2 * columns, 2.6 * lines), layout="constrained")
        for index, (name, check) in enumerate(self.checks.items()):
            ax = figure.add_subplot(lines, columns, index + 1)
            if name in self.flags:
                _draw_flags(ax, *self.flags[name])
            else:
                _draw_ranks(ax, self.ranks[name])
            ax.set_title(f"{name}, p = {check.p_value:.2g}", fontsize="medium")
        return figure


_BAND = 2.576


def _draw_ranks(ax: Any, u: np.ndarray) -> None:
    bins = max(5, min(20, len(u) // 20))
    elements = u.reshape(len(u), -1)
    share = np.stack([np.histogram(e, bins, (0, 1))[0] for e in elements.T], 1) * bins / len(u)
    # Elements of one data set are not independent: the band is that of a single one.
    half = _BAND * math.sqrt((bins - 1) / len(u))
    ax.axhspan(1 - half, 1 + half, color="0.9")
    ax.stairs(share.mean(1), np.linspace(0, 1, bins + 1), color="C0")
    ax.set(xlabel="rank of the true value", ylabel="density", xlim=(0, 1), ylim=(0, None))


def _draw_flags(ax: Any, truth: np.ndarray, share: np.ndarray) -> None:
    truth, share = truth.ravel(), share.ravel()
    edges = np.linspace(0, 1, 11)
    index = np.clip(np.digitize(share, edges) - 1, 0, 9)
    ax.plot([0, 1], [0, 1], color="0.6", lw=1)
    for b in range(10):
        inside = index == b
        if inside.any():
            p, n = share[inside].mean(), inside.sum()
            half = _BAND * math.sqrt(max(p * (1 - p), 1e-3) / n)
            ax.plot([p, p], [p - half, p + half], color="0.9", lw=6, solid_capstyle="butt")
            ax.plot([p], [truth[inside].mean()], "o", ms=4, color="C0")
    ax.set(xlabel="probability by the guide", ylabel="frequency", xlim=(0, 1), ylim=(0, 1))
