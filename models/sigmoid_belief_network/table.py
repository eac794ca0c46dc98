"""Trains the estimators side by side and collects their rows.

Estimators take turns, a chunk of steps each, so that whatever else the machine does slows all of
them alike: their times can be compared although the machine may be busy.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from tqdm import tqdm

from models.common.networks import Weights
from models.common.progress import check_finite
from models.data import Digits
from models.sigmoid_belief_network.estimators import Choice
from models.sigmoid_belief_network.result import Reached, Row, Settings, Trainer

MakeTrainer = Callable[[Any, Choice, Settings, int], Trainer]
COMMON_POINT = "rebar"
"""The estimator at whose trained weights gradients are compared, if it is in the table."""


@dataclass
class Lane:
    """One estimator on its way."""

    name: str
    trainer: Trainer
    seed: int
    losses: list[Any] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    done: int = 0
    at_steps: Reached | None = None
    at_seconds: Reached | None = None
    weights: dict[str, Weights] | None = None

    @property
    def step_seconds(self) -> float:
        """Median time of a step, without the first chunk, which compiles."""
        return float(np.median(self.seconds[1:] or self.seconds))

    @property
    def elapsed(self) -> float:
        """What the steps so far take without compilation; 0 until there is a chunk without it."""
        return self.done * self.step_seconds if len(self.seconds) > 1 else 0.0

    def advance(self, size: int) -> float:
        """Take steps and return the mean of their losses."""
        start = time.perf_counter()
        losses = np.asarray(self.trainer.advance(size))
        self.seconds.append((time.perf_counter() - start) / size)
        check_finite(losses, self.done)
        self.losses.append(losses)
        self.done += size
        return float(losses.mean())

    def reached(self, digits: Digits, passes: int) -> Reached:
        """The bounds where training stands."""
        test = self.trainer.bound(digits.test, passes) if len(digits.test) else None
        train = self.trainer.bound(digits.train, passes)
        return Reached(self.done, self.elapsed, train, test)

    def row(self) -> Row:
        """What came of it."""
        assert self.at_steps is not None
        losses = np.concatenate(self.losses).astype(np.float64)
        learned = self.trainer.learned()
        return Row(
            self.name,
            self.seed,
            losses,
            self.at_steps,
            self.at_seconds,
            self.step_seconds,
            learned=learned,
        )


def run_table(
    digits: Digits,
    choices: Sequence[Choice],
    seeds: Sequence[int],
    settings: Settings,
    make_trainer: MakeTrainer,
    chunk: int,
    seconds: float | None = None,
    equal_time: bool = False,
) -> list[Row]:
    """Train each estimator with each seed.

    :param digits: the images.
    :param choices: the estimators.
    :param seeds: of the weights and of every draw.
    :param settings: everything else.
    :param make_trainer: the host's Trainer.
    :param chunk: steps of a turn.
    :param seconds: the training time at which every estimator is evaluated too; None for none.
    :param equal_time: whether `seconds` is the time that the slowest estimator's steps take.
    :returns: the rows, seed by seed, in the order of the choices.
    :raises RunFailedError: a loss stopped being finite.
    """
    rows: list[Row] = []
    chunk = max(1, min(chunk, settings.steps // 4))
    for seed in seeds:
        lanes = [Lane(c.name, make_trainer(digits.train, c, settings, seed), seed) for c in choices]
        pace = 0.1 if sys.stderr.isatty() else 5.0
        with tqdm(
            total=settings.steps * len(lanes),
            desc=f"seed {seed}",
            unit="step",
            disable=not settings.progress,
            mininterval=pace,
        ) as bar:
            _race(lanes, digits, settings, chunk, seconds, bar)
            if equal_time:
                slowest = max(lane.elapsed for lane in lanes)
                _race(lanes, digits, settings, chunk, slowest, bar)
        made = [lane.row() for lane in lanes]
        if seed == seeds[0] and settings.variance_draws:
            point = next((lane for lane in lanes if lane.name == COMMON_POINT), lanes[0]).weights
            assert point is not None
            made = [
                replace(row, variance=lane.trainer.variance(point))
                for row, lane in zip(made, lanes, strict=True)
            ]
        rows += made
    return rows


def _race(
    lanes: Sequence[Lane],
    digits: Digits,
    settings: Settings,
    chunk: int,
    seconds: float | None,
    bar: Any,
) -> None:
    """Let lanes take turns until each has been evaluated at its steps and at the seconds."""
    waiting = True
    while waiting:
        waiting = False
        for lane in lanes:
            if lane.at_steps is None:
                size = min(chunk, settings.steps - lane.done)
            elif seconds is not None and lane.at_seconds is None and lane.elapsed < seconds:
                size = chunk
                bar.total += chunk
            else:
                size = 0
            if size:
                waiting = True
                loss = lane.advance(size)
                bar.set_postfix_str(f"{lane.name}, loss {loss:.2f}", refresh=False)
                bar.update(size)
            if lane.at_steps is None and lane.done == settings.steps:
                lane.at_steps = lane.reached(digits, settings.passes)
                lane.weights = lane.trainer.trained()
            if seconds is not None and lane.at_seconds is None and lane.elapsed >= seconds:
                same = lane.at_steps is not None and lane.at_steps.steps == lane.done
                lane.at_seconds = lane.at_steps if same else lane.reached(digits, settings.passes)
