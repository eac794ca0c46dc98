"""Drawing gradients of several losses in turns, and merging what was drawn."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, Protocol

from relaxppl.common.diagnostics.stats import Arrays, GradientStats

_TURNS = 5


@dataclass
class Moments:
    """The mean and the summed squared deviation of some draws of a loss and its gradient."""

    count: int
    mean: Arrays
    deviation: Arrays
    loss: float
    loss_deviation: float

    def and_more(self, more: Moments) -> Moments:
        """Returns the moments of these and further draws together."""
        n, m = self.count, more.count
        total = n + m

        def merged(a: Any, b: Any, a2: Any, b2: Any) -> tuple[Any, Any]:
            gap = b - a
            return a + gap * (m / total), a2 + b2 + gap**2 * (n * m / total)

        mean, deviation = {}, {}
        for key in self.mean:
            mean[key], deviation[key] = merged(
                self.mean[key], more.mean[key], self.deviation[key], more.deviation[key]
            )
        loss, loss_deviation = merged(
            self.loss, more.loss, self.loss_deviation, more.loss_deviation
        )
        return Moments(total, mean, deviation, loss, loss_deviation)


class Sampler(Protocol):
    """Draws gradients of one loss at fixed parameters of the model and the guide."""

    @property
    def discrete(self) -> Sequence[str]:
        """The discrete latent sites of the guide."""

    @property
    def evaluations(self) -> float:
        """Evaluations of the model for one gradient."""

    def tune(self, steps: int) -> None:
        """Lets the loss learn its own parameters for some steps."""

    def draw(self, count: int) -> Moments:
        """Draws gradients in the parameters of the model and the guide."""


class Draws:
    """What has been drawn of one sampler, and how long a draw took.

    :param name: of the loss.
    :param sampler: of its gradients.
    :param clock: gives the time in seconds.
    """

    def __init__(self, name: str, sampler: Sampler, clock: Callable[[], float]) -> None:
        self.name, self.sampler, self._clock = name, sampler, clock
        self._evaluations: float | None = None
        self.forget()

    def forget(self) -> None:
        """Starts again."""
        self._moments: Moments | None = None
        self._times: list[float] = []

    @property
    def count(self) -> int:
        """How many gradients were drawn."""
        return 0 if self._moments is None else self._moments.count

    @property
    def seconds(self) -> float:
        """The time for one gradient: the median over the calls."""
        return max(median(self._times), 1e-9)

    def draw(self, count: int) -> None:
        """Draws some gradients more."""
        begin = self._clock()
        moments = self.sampler.draw(count)
        self._times.append((self._clock() - begin) / count)
        self._moments = moments if self._moments is None else self._moments.and_more(moments)

    def stats(self) -> GradientStats:
        """Returns the statistics of what was drawn, without an exact gradient."""
        assert self._moments is not None
        if self._evaluations is None:
            self._evaluations = self.sampler.evaluations
        return summary(self.name, self._moments, self.seconds, self._evaluations)


def measure(
    samplers: Mapping[str, Sampler],
    num_draws: int,
    seconds: float | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, GradientStats]:
    """Draws from all samplers in turns, so that a busy machine slows them alike.

    :param samplers: by name.
    :param num_draws: how many gradients of each, or with a limit of time at most.
    :param seconds: the time for all of them together; None for no limit.
    :param clock: gives the time in seconds.
    :returns: the statistics by name, without an exact gradient.
    """
    drawn = {name: Draws(name, sampler, clock) for name, sampler in samplers.items()}
    counts: dict[str, int] = {}
    for name, sampler in samplers.items():
        sampler.draw(2)  # What is only done once, such as compiling, is no part of the time.
        begin = clock()
        sampler.draw(2)
        each = max((clock() - begin) / 2, 1e-9)
        wanted = num_draws
        if seconds is not None:
            wanted = min(num_draws, max(int(seconds / len(samplers) / each), 2 * _TURNS))
        counts[name] = wanted
    for turn in range(_TURNS):
        for name, draws in drawn.items():
            count = counts[name] // _TURNS + (turn < counts[name] % _TURNS)
            if count:
                draws.draw(count)
    return {name: draws.stats() for name, draws in drawn.items()}


def summary(name: str, moments: Moments, seconds: float, evaluations: float) -> GradientStats:
    """Returns the statistics of some moments.

    :param name: of the loss.
    :param moments: of its draws.
    :param seconds: the time for one gradient.
    :param evaluations: of the model for one gradient.
    """
    freedom = max(moments.count - 1, 1)
    return GradientStats(
        name=name,
        num_draws=moments.count,
        mean=moments.mean,
        variance={key: x / freedom for key, x in moments.deviation.items()},
        loss=moments.loss,
        loss_variance=moments.loss_deviation / freedom,
        evaluations=evaluations,
        seconds=seconds,
    )
