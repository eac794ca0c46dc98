"""Coordinates on the supports, so that quadrature and histograms can work on R^d."""

from __future__ import annotations

import numpy as np
from scipy import special

Array = np.ndarray


class Chart:
    """A map of R^d onto a support, with its volume."""

    top = np.inf

    def event_shape(self, dim: int) -> tuple[int, ...]:
        return ()

    def coordinates(self, x: Array) -> Array:
        """(n, *event) to (n, d)."""
        raise NotImplementedError

    def point(self, y: Array) -> Array:
        """(n, d) to (n, *event)."""
        raise NotImplementedError

    def log_measure(self, y: Array) -> Array:
        """The logarithm of the base measure's density in these coordinates, (n,)."""
        raise NotImplementedError


class Interval(Chart):
    """(0, 1) by the logit."""

    top = 36.0

    def coordinates(self, x):
        return special.logit(x)[:, None]

    def point(self, y):
        return special.expit(y[:, 0])

    def log_measure(self, y):
        return special.log_expit(y[:, 0]) + special.log_expit(-y[:, 0])


class Cube(Chart):
    """(0, 1)^d by the logit of each coordinate."""

    top = 36.0

    def event_shape(self, dim):
        return (dim,)

    def coordinates(self, x):
        return special.logit(x)

    def point(self, y):
        return special.expit(y)

    def log_measure(self, y):
        return (special.log_expit(y) + special.log_expit(-y)).sum(-1)


class Real(Chart):
    """R itself."""

    def coordinates(self, x):
        return np.asarray(x)[:, None]

    def point(self, y):
        return y[:, 0]

    def log_measure(self, y):
        return np.zeros(len(y))


class LogSimplex(Chart):
    """Logarithms of a point on the simplex; the measure is dx / (x_1 ... x_K)."""

    def event_shape(self, dim):
        return (dim + 1,)

    def coordinates(self, x):
        return x[:, :-1] - x[:, -1:]

    def point(self, y):
        return special.log_softmax(np.concatenate([y, np.zeros((len(y), 1))], -1), -1)

    def log_measure(self, y):
        return np.zeros(len(y))


class Simplex(LogSimplex):
    """The simplex by log(x_i / x_K); the measure is that of its first K - 1 coordinates."""

    def coordinates(self, x):
        return super().coordinates(np.log(x))

    def point(self, y):
        return np.exp(super().point(y))

    def log_measure(self, y):
        return super().point(y).sum(-1)


interval, cube, real, log_simplex, simplex = Interval(), Cube(), Real(), LogSimplex(), Simplex()
