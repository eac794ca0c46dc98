"""The gradient of one loss, over many draws."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np

from relaxppl.common.diagnostics.text import number, table, xarray

Arrays = dict[str, np.ndarray]


@dataclass
class GradientStats:
    """The gradient of a loss at fixed parameters, over many draws.

    All arrays are by parameter of the model and the guide, in the unconstrained coordinates that
    the optimiser moves, and have the parameters' shapes.

    :param name: of the loss.
    :param num_draws: how many gradients were drawn.
    :param mean: their mean.
    :param variance: the variance of one gradient.
    :param loss: the mean loss.
    :param loss_variance: the variance of one loss.
    :param evaluations: runs of the model for one gradient; the values that a local expectation
        tries in one batch are one run.
    :param seconds: the time for one gradient, compilation left out.
    :param exact: the exact gradient; None where the discrete sites cannot be enumerated.
    :param exact_error: its standard error, which is zero unless the program draws something else.
    """

    name: str
    num_draws: int
    mean: Arrays
    variance: Arrays
    loss: float
    loss_variance: float
    evaluations: float
    seconds: float
    exact: Arrays | None = None
    exact_error: Arrays | None = None

    @property
    def snr(self) -> Arrays:
        """The signal-to-noise ratio |mean| / standard deviation, by parameter."""
        return {key: _ratio(np.abs(x), np.sqrt(self.variance[key])) for key, x in self.mean.items()}

    @property
    def bias(self) -> Arrays | None:
        """(mean - exact) in standard errors, by parameter; None without the exact gradient."""
        if self.exact is None:
            return None
        found = {}
        for key, mean in self.mean.items():
            error = self.variance[key] / self.num_draws
            if self.exact_error is not None:
                error = error + self.exact_error[key] ** 2
            gap = mean - self.exact[key]
            # What nothing random reaches agrees up to rounding.
            least = 1e-5 * (np.abs(self.exact[key]) + _scale(self.exact))
            found[key] = gap / np.sqrt(error + least**2)
        return found

    @property
    def worst_bias(self) -> float | None:
        """The largest absolute bias in standard errors; None without the exact gradient."""
        bias = self.bias
        if bias is None:
            return None
        return max((float(np.abs(x).max(initial=0)) for x in bias.values()), default=0.0)

    @property
    def biased(self) -> bool | None:
        """Whether the bias is more than chance explains, in any parameter; None if unknown."""
        worst = self.worst_bias
        if worst is None:
            return None
        size = sum(x.size for x in self.mean.values())
        # One false alarm in ten thousand; the tails of a few draws are heavier than normal.
        limit = NormalDist().inv_cdf(1.0 - 0.5e-4 / max(size, 1))
        return worst > limit * (1.0 + 10.0 / self.num_draws)

    @property
    def total_variance(self) -> float:
        """The variance of one gradient, summed over all parameters."""
        return float(sum(x.sum() for x in self.variance.values()))

    @property
    def cost(self) -> float:
        """Variance times seconds: the variance of the mean gradient in a second of time."""
        return self.total_variance * self.seconds

    def __str__(self) -> str:
        rows = []
        snr, bias = self.snr, self.bias
        for key, mean in self.mean.items():
            row = [
                key,
                "x".join(map(str, mean.shape)) or "scalar",
                number(float(np.sqrt((mean**2).sum()))),
                number(float(self.variance[key].sum())),
                number(float(np.median(snr[key])) if mean.size else math.nan),
                "-" if bias is None else number(float(np.abs(bias[key]).max(initial=0))),
            ]
            rows.append(row)
        head = ["parameter", "shape", "|mean|", "variance", "median SNR", "worst bias (s.e.)"]
        last = (
            f"{self.name}: {self.num_draws} draws, loss {number(self.loss)}, total variance "
            f"{number(self.total_variance)}, {self.evaluations:g} model evaluations and "
            f"{1e3 * self.seconds:.3g} ms a gradient"
        )
        return "\n".join([last, *table(head, rows)])

    def to_dataset(self) -> Any:
        """Returns everything by parameter as an ``xarray.Dataset``.

        :raises ImportError: without xarray, naming the extra to install.
        """
        groups: dict[str, Arrays | None] = {
            "mean": self.mean,
            "variance": self.variance,
            "snr": self.snr,
            "exact": self.exact,
            "bias": self.bias,
        }
        data = {}
        for group, arrays in groups.items():
            for key, x in (arrays or {}).items():
                data[f"{group}:{key}"] = ([f"{key}_dim_{i}" for i in range(x.ndim)], x)
        attrs = {
            "loss": self.name,
            "num_draws": self.num_draws,
            "mean_loss": self.loss,
            "loss_variance": self.loss_variance,
            "model_evaluations": self.evaluations,
            "seconds": self.seconds,
        }
        return xarray().Dataset(data, attrs=attrs)


def _ratio(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    whole = np.where(b > 0, b, 1.0)
    return np.where(b > 0, a / whole, np.where(a > 0, np.inf, 0.0))


def _scale(arrays: Arrays) -> float:
    return max((float(np.abs(x).max(initial=0)) for x in arrays.values()), default=0.0)
