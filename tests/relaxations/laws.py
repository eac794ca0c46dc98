"""The kinds of law that the references are made of: how to integrate, cut into cells, draw."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import numpy as np
from scipy import stats

from tests.relaxations.charts import Chart

Array = np.ndarray


def panels(lower: float, upper: float, count: int = 24, order: int = 32) -> tuple[Array, Array]:
    """Points and weights of Gauss's rule on panels of equal length."""
    t, w = np.polynomial.legendre.leggauss(order)
    width = (upper - lower) / count
    y = lower + width * (np.arange(count)[:, None] + (t + 1) / 2)
    return y.ravel(), np.tile(w * width / 2, count)


class Law:
    """A law on vectors or scalars; ``n`` is a number of draws."""

    event_shape: tuple[int, ...] = ()

    def log_prob(self, x: Array) -> Array:
        """(n, *event) to (n,)."""
        raise NotImplementedError

    def sample(self, rng: np.random.Generator, n: int) -> Array:
        """(n, *event)."""
        raise NotImplementedError

    def nodes(self) -> tuple[Array, Array]:
        """Points (m, *event) and weights (m,) with E f = sum_i w_i exp(log_prob_i) f_i."""
        raise NotImplementedError

    def cells(self, x: Array) -> Array:
        """The cell (n,) of each value, an integer; nodes never lie on the edge of a cell."""
        raise NotImplementedError

    def expect(self, fn: Callable[[Array], Array]) -> Array:
        x, w = self.nodes()
        p = w * np.exp(self.log_prob(x))
        return np.tensordot(p, fn(x), 1)


class Discrete(Law):
    """Finitely many values."""

    def __init__(self, values: Array, probs: Array):
        self.values, self.probs = np.asarray(values, float), np.asarray(probs, float)
        self.event_shape = self.values.shape[1:]

    def cells(self, x):
        x = np.asarray(x, float)
        # A value may be the root of a parameter; those that must be exact have their own test.
        match = np.abs(x[:, None] - self.values) < 1e-9
        match = match.reshape((*match.shape[:2], -1)).all(-1)
        return np.where(match.any(1), match.argmax(1), -1)

    def log_prob(self, x):
        cell = self.cells(x)
        with np.errstate(divide="ignore"):
            return np.where(cell >= 0, np.log(self.probs)[cell], -np.inf)

    def sample(self, rng, n):
        return self.values[rng.choice(len(self.values), size=n, p=self.probs)]

    def nodes(self):
        return self.values, np.ones(len(self.values))

    def cdf(self, x):
        return float(self.probs[self.values <= x + 1e-12].sum())


class Continuous(Law):
    """A density on a set that a chart maps onto R^d."""

    per_dim: ClassVar = {1: 2000, 2: 240}
    cells_per_dim: ClassVar = {1: 400, 2: 60}

    def __init__(
        self, chart: Chart, dim: int, log_prob: Callable, sample: Callable, centre, half_width
    ):
        self.chart, self.dim = chart, dim
        self._log_prob, self._sample = log_prob, sample
        lower = np.broadcast_to(np.asarray(centre - half_width, float), (dim,))
        # Beyond this the chart's points round to the edge of the support.
        upper = np.minimum(
            np.broadcast_to(np.asarray(centre + half_width, float), (dim,)), chart.top
        )
        self.centre, self.half_width = (lower + upper) / 2, (upper - lower) / 2
        self.event_shape = chart.event_shape(dim)

    def log_prob(self, x):
        return self._log_prob(np.asarray(x, float))

    def sample(self, rng, n):
        return self._sample(rng, n)

    def nodes(self):
        n = self.per_dim[self.dim]
        # Midpoints: the rule is spectrally accurate here, and the edges of the cells fall between.
        step = 2 * self.half_width / n
        axes = [
            c - w + h * (np.arange(n) + 0.5)
            for c, w, h in zip(self.centre, self.half_width, step, strict=True)
        ]
        y = np.stack([a.ravel() for a in np.meshgrid(*axes, indexing="ij")], -1)
        return self.chart.point(y), np.prod(step) * np.exp(self.chart.log_measure(y))

    def cells(self, x):
        count = self.cells_per_dim[self.dim]
        y = self.chart.coordinates(np.asarray(x, float))
        scaled = (y - self.centre + self.half_width) / (2 * self.half_width)
        index = np.clip(np.floor(scaled * count), 0, count - 1).astype(int)
        return np.ravel_multi_index(tuple(index.T), (count,) * self.dim)

    def importance_weights(self, rng, n):
        """Points (n, *event) and the logarithm of measure over proposal density (n,)."""
        pilot = self.chart.coordinates(self.sample(rng, 20_000))
        cov = 1.5 * np.cov(pilot.T).reshape(self.dim, self.dim)
        proposal = stats.multivariate_t(pilot.mean(0), cov, df=5, seed=rng)
        y = proposal.rvs(n).reshape(n, self.dim)
        return self.chart.point(y), self.chart.log_measure(y) - proposal.logpdf(y)

    def cdf(self, x):
        """P(X <= x) of a scalar, by quadrature."""
        lower = self.centre[0] - self.half_width[0]
        y, w = panels(lower, self.chart.coordinates(np.atleast_1d(x))[0, 0])
        point = self.chart.point(y[:, None])
        return float(w @ np.exp(self.log_prob(point) + self.chart.log_measure(y[:, None])))


class Gate(Law):
    """A density on (0, 1) and atoms at 0 and 1."""

    panels, order = 50, 12

    def __init__(self, p0: float, p1: float, interior: Callable, sample: Callable):
        self.p0, self.p1, self._interior, self._sample = p0, p1, interior, sample

    def log_prob(self, x):
        x = np.asarray(x, float)
        inside = self._interior(np.clip(x, 1e-300, 1.0))
        return np.where(x == 0, np.log(self.p0), np.where(x == 1, np.log(self.p1), inside))

    def sample(self, rng, n):
        return self._sample(rng, n)

    def nodes(self):
        t, w = np.polynomial.legendre.leggauss(self.order)
        left = np.arange(self.panels)[:, None] / self.panels
        x = (left + (t + 1) / 2 / self.panels).ravel()
        w = np.tile(w / 2 / self.panels, self.panels)
        return np.concatenate([x, [0.0, 1.0]]), np.concatenate([w, [1.0, 1.0]])

    def cells(self, x):
        inside = np.clip(np.floor(np.asarray(x) * self.panels), 0, self.panels - 1).astype(int)
        return np.where(x == 0, self.panels, np.where(x == 1, self.panels + 1, inside))

    def cdf(self, x):
        if x < 0:
            return 0.0
        if x >= 1:
            return 1.0
        y, w = panels(0.0, x)
        return float(self.p0 + w @ np.exp(self._interior(y)))


class Implicit(Law):
    """A law with a sampler and no density."""

    def __init__(self, event_shape: tuple[int, ...], sample: Callable):
        self.event_shape, self._sample = event_shape, sample

    def sample(self, rng, n):
        return self._sample(rng, n)
