"""Numbers that follow the optimisation step, temperatures above all, for both hosts.

A schedule takes a Python number, a (traced) JAX array or a torch tensor and returns the same kind.
The names on both hosts: ``rx.ExponentialSchedule(1.0, 0.3, 2000)(step)``.
"""

from __future__ import annotations

import math
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any

from relaxppl import ops


class Schedule:
    """A number as a function of the step: call it with the number of steps done so far.

    Whoever uses it checks its values: a temperature is positive, a weight lies in [0, 1].
    """

    def __call__(self, step: Any) -> Any:
        """Returns the value at a step.

        :param step: how many steps were taken before: a number, or an array of any shape.
        :returns: a float for a number, an array of the step's shape for an array.
        """
        if isinstance(step, Real):
            return self.at(float(step))
        return _remembered(self, step)

    def at(self, step: Any) -> Any:
        """Returns the value at a float or an array; subclasses define it."""
        raise NotImplementedError(f"{type(self).__name__} defines no value")

    @property
    def range(self) -> tuple[float, float] | None:
        """The least and the greatest value over all steps, or None where it is not known."""
        return None


# A KL rule at equal temperatures needs to see that the guide's and the model's are equal, which
# for values traced by jit can only mean the same object. So the same schedule of the same traced
# step gives the same object. Only weak references are held, and a value is only reused where the
# step lives at the same level of tracing, so that none leaks out of a transformation.
_MEMORY: dict[tuple[Schedule, int], tuple[Any, Any]] = {}


def _remembered(schedule: Schedule, step: Any) -> Any:
    level = getattr(step, "_trace", None)
    if level is None:
        return schedule.at(step)
    key = (schedule, id(step))
    known_step, known_value = (ref() for ref in _MEMORY.get(key, (_nothing, _nothing)))
    if known_step is step and known_value is not None:
        return known_value
    value = schedule.at(step)
    if getattr(value, "_trace", None) is level:
        # The entry goes when either of its arrays does.
        def forget(_: Any) -> None:
            _MEMORY.pop(key, None)

        _MEMORY[key] = (weakref.ref(step, forget), weakref.ref(value, forget))
    return value


def _nothing() -> None:
    return None


@dataclass(frozen=True)
class ConstantSchedule(Schedule):
    """The same value at every step.

    :param value: the value, finite.
    :raises ValueError: if it is not finite.
    """

    value: float

    def __post_init__(self) -> None:
        _check_finite(self, "value", self.value)

    @property
    def range(self) -> tuple[float, float]:
        return self.value, self.value

    def at(self, step: Any) -> Any:
        return self.value + 0.0 * step


@dataclass(frozen=True)
class _Descent(Schedule):
    """From an initial to a final value in a number of steps, then constant."""

    initial: float
    final: float
    steps: int

    def __post_init__(self) -> None:
        _check_finite(self, "initial", self.initial)
        _check_finite(self, "final", self.final)
        _check_finite(self, "steps", self.steps, positive=True)

    @property
    def range(self) -> tuple[float, float]:
        return min(self.initial, self.final), max(self.initial, self.final)

    def at(self, step: Any) -> Any:
        return self.between(_clip(step * (1.0 / self.steps), 0.0, 1.0))

    def between(self, done: Any) -> Any:
        """Returns the value when a part ``done`` of the steps, in [0, 1], is taken."""
        raise NotImplementedError


class LinearSchedule(_Descent):
    """initial + (final - initial) * step / steps, constant after ``steps``.

    :param initial: the value at step 0.
    :param final: the value from step ``steps`` on.
    :param steps: how many steps it takes, positive.
    :raises ValueError: if one is not finite, or the last not positive.
    """

    def between(self, done: Any) -> Any:
        return self.initial * (1.0 - done) + self.final * done


class ExponentialSchedule(_Descent):
    """T = max(final, initial * exp(-r * step)) with r = log(initial / final) / steps.

    For a given rate r, take ``steps = log(initial / final) / r``. A final temperature above the
    initial one rises likewise.

    :param initial: the temperature at step 0, positive.
    :param final: the temperature from step ``steps`` on, positive.
    :param steps: the length of the descent, positive.
    :raises ValueError: if one is not positive.

    Jang et al., 2017 (arXiv:1611.01144), section 4.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_finite(self, "initial", self.initial, positive=True)
        _check_finite(self, "final", self.final, positive=True)

    def between(self, done: Any) -> Any:
        # A product of powers is exact at both ends.
        return self.initial ** (1.0 - done) * self.final**done


class CosineSchedule(_Descent):
    """final + (initial - final) * (1 + cos(pi * step / steps)) / 2, constant after ``steps``.

    :param initial: the value at step 0.
    :param final: the value from step ``steps`` on.
    :param steps: how many steps it takes, positive.
    :raises ValueError: if one is not finite, or the last not positive.
    """

    def between(self, done: Any) -> Any:
        angle = math.pi * done
        left = 0.5 + 0.5 * (math.cos(angle) if isinstance(angle, float) else ops.cos(angle))
        return self.initial * left + self.final * (1.0 - left)


@dataclass(frozen=True)
class PiecewiseSchedule(Schedule):
    """One schedule after another, each counting its steps from its own start.

    :param boundaries: the steps at which the next piece begins, increasing and positive.
    :param pieces: one more than the boundaries; a number stands for a constant.
    :raises ValueError: if the boundaries do not increase, or the numbers do not fit.
    """

    boundaries: Sequence[float]
    pieces: Sequence[Schedule | float]

    def __post_init__(self) -> None:
        boundaries = tuple(self.boundaries)
        pieces = tuple(
            piece if isinstance(piece, Schedule) else ConstantSchedule(piece)
            for piece in self.pieces
        )
        if len(pieces) != len(boundaries) + 1:
            raise ValueError(
                f"PiecewiseSchedule: {len(boundaries)} boundaries need {len(boundaries) + 1} "
                f"pieces, got {len(pieces)}"
            )
        if any(a >= b for a, b in zip((0, *boundaries), boundaries, strict=False)):
            raise ValueError(
                f"PiecewiseSchedule: boundaries must be positive and increase, got {boundaries}"
            )
        object.__setattr__(self, "boundaries", boundaries)
        object.__setattr__(self, "pieces", pieces)

    @property
    def range(self) -> tuple[float, float] | None:
        ranges = [piece.range for piece in self.pieces if isinstance(piece, Schedule)]
        known = [r for r in ranges if r is not None]
        if len(known) < len(ranges):
            return None
        return min(low for low, _ in known), max(high for _, high in known)

    def at(self, step: Any) -> Any:
        starts = (0, *self.boundaries)
        values = [_at(p, step - s) for p, s in zip(self.pieces, starts, strict=True)]
        value = values[0]
        for start, later in zip(self.boundaries, values[1:], strict=True):
            value = _where(step >= start, later, value)
        return value


def _at(piece: Any, step: Any) -> Any:
    return piece.at(step)


def _where(condition: Any, yes: Any, no: Any) -> Any:
    if isinstance(condition, bool):
        return yes if condition else no
    return ops.where(condition, yes, no)


def _clip(x: Any, low: float, high: float) -> Any:
    if isinstance(x, float):
        return min(max(x, low), high)
    return ops.clip(x, low, high)


def _check_finite(schedule: Schedule, name: str, value: Any, positive: bool = False) -> None:
    right = isinstance(value, Real) and math.isfinite(float(value))
    if not right or (positive and not float(value) > 0.0):
        kind = "positive finite" if positive else "finite"
        raise ValueError(
            f"{type(schedule).__name__}: {name} must be a {kind} number, got {value!r}"
        )
