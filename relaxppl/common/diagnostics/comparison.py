"""Several losses side by side, and which of them is best at equal time."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from relaxppl.common.diagnostics.stats import GradientStats
from relaxppl.common.diagnostics.text import number, table, xarray


@dataclass
class Comparison:
    """Several losses at the same parameters, best at equal time first.

    :param stats: by name, ranked.
    :param unbiased: by name whether the gradient is known to be unbiased; None if not known.
    :param failures: why a loss could not be measured, by name.
    """

    stats: dict[str, GradientStats]
    unbiased: dict[str, bool | None]
    failures: dict[str, str] = field(default_factory=dict)

    @property
    def best(self) -> str:
        """The name of the unbiased loss with the least variance times time.

        :raises ValueError: if none is known to be unbiased.
        """
        for name in self.stats:
            if self.unbiased[name]:
                return name
        raise ValueError(
            "none of the losses is known to be unbiased on this program, so none can be called "
            f"the best; measured: {', '.join(self.stats) or 'none'}"
        )

    def __str__(self) -> str:
        least = min((s.cost for s in self.stats.values()), default=1.0)
        rows = []
        for name, s in self.stats.items():
            worst = s.worst_bias
            verdict = {True: "", False: "biased", None: "perhaps biased"}[self.unbiased[name]]
            rows.append(
                [
                    name,
                    number(s.total_variance),
                    f"{s.evaluations:g}",
                    f"{1e3 * s.seconds:.3g}",
                    number(s.cost / least) if least > 0 else number(s.cost),
                    "-" if worst is None else number(worst),
                    verdict,
                ]
            )
        head = ["loss", "variance", "evaluations", "ms", "variance x time", "worst bias (s.e.)", ""]
        lines = table(head, rows)
        lines += [f"{name}: {reason}" for name, reason in self.failures.items()]
        if any(self.unbiased.values()):
            lines.append(f"best at equal time: {self.best}")
        return "\n".join(lines)

    def to_dataset(self) -> Any:
        """Returns the table as an ``xarray.Dataset`` over the losses and the parameters.

        :raises ImportError: without xarray, naming the extra to install.
        """
        stats = list(self.stats.values())
        keys = sorted({key for s in stats for key in s.mean})

        def by_parameter(value: Callable[[GradientStats, str], float]) -> list[list[float]]:
            return [[value(s, k) if k in s.mean else math.nan for k in keys] for s in stats]

        def worst(s: GradientStats, key: str) -> float:
            bias = s.bias
            return math.nan if bias is None else float(np.abs(bias[key]).max(initial=0))

        data = {
            "total_variance": ("loss", [s.total_variance for s in stats]),
            "seconds": ("loss", [s.seconds for s in stats]),
            "model_evaluations": ("loss", [s.evaluations for s in stats]),
            "cost": ("loss", [s.cost for s in stats]),
            "num_draws": ("loss", [s.num_draws for s in stats]),
            "mean_loss": ("loss", [s.loss for s in stats]),
            "variance": (
                ("loss", "parameter"),
                by_parameter(lambda s, k: float(s.variance[k].sum())),
            ),
            "median_snr": (
                ("loss", "parameter"),
                by_parameter(lambda s, k: float(np.median(s.snr[k]))),
            ),
            "worst_bias": (("loss", "parameter"), by_parameter(worst)),
        }
        return xarray().Dataset(data, coords={"loss": list(self.stats), "parameter": keys})

    def plot(self, ax: Any = None) -> Any:
        """Draws variance against time, with lines of equal product.

        :param ax: matplotlib axes; None for new ones.
        :returns: the axes.
        :raises ImportError: without matplotlib, naming the extra to install.
        """
        try:
            import matplotlib.pyplot as plt
        except ImportError as error:
            raise ImportError(
                'the plot needs matplotlib: pip install "relaxppl[models]"'
            ) from error
        if ax is None:
            _, ax = plt.subplots()
        drawn = {n: s for n, s in self.stats.items() if s.total_variance > 0}
        for name, s in drawn.items():
            filled = "full" if self.unbiased[name] else "none"
            ax.plot(1e3 * s.seconds, s.total_variance, "o", fillstyle=filled)
            ax.annotate(name, (1e3 * s.seconds, s.total_variance), (4, 4), None, "offset points")
        ax.set(xscale="log", yscale="log", xlabel="ms a gradient", ylabel="variance of a gradient")
        if drawn:
            ax.margins(0.3)
            times = np.array(ax.get_xlim())
            limits = ax.get_ylim()
            for s in drawn.values():
                ax.plot(times, 1e3 * s.cost / times, ":", color="0.8", zorder=0)
            ax.set(xlim=tuple(times), ylim=limits)
        return ax


def ranked(
    stats: dict[str, GradientStats],
    trusted: Mapping[str, bool | None],
    failures: dict[str, str] | None = None,
) -> Comparison:
    """Returns a comparison: unbiased losses by variance times time, then the others.

    :param stats: by name.
    :param trusted: by name whether the loss is unbiased by construction; None if not known.
    :param failures: why a loss could not be measured, by name.
    """
    unbiased: dict[str, bool | None] = {}
    for name, s in stats.items():
        known = s.biased
        # A measured bias is one of the program too: a term that the host does not see, say.
        unbiased[name] = trusted[name] if known is None else not known
        if trusted[name] is False:
            unbiased[name] = False
    order = {True: 0, None: 1, False: 2}
    names = sorted(stats, key=lambda n: (order[unbiased[n]], stats[n].cost))
    return Comparison({n: stats[n] for n in names}, unbiased, dict(failures or {}))
