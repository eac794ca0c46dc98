"""Trains every estimator asked for and collects their rows."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from models.common.data import Digits
from models.common.progress import train_with_progress
from models.sigmoid_belief_network.estimators import Choice
from models.sigmoid_belief_network.result import Row, Settings, Trainer

MakeTrainer = Callable[[Any, Choice, Settings, int], Trainer]


def run_table(
    digits: Digits,
    choices: Sequence[Choice],
    seeds: Sequence[int],
    settings: Settings,
    make_trainer: MakeTrainer,
    chunk: int,
    equal_time: bool,
) -> list[Row]:
    """Train each estimator with each seed, one after the other.

    Args:
        digits: the images.
        choices: the estimators.
        seeds: of the weights and of every draw.
        settings: everything else.
        make_trainer: the host's Trainer.
        chunk: steps between two looks at the progress bar.
        equal_time: whether estimators faster than the slowest train on until they have had its
            time.

    Returns:
        The rows, seed by seed, in the order of the choices.

    Raises:
        RunFailedError: a loss stopped being finite.
    """
    rows = []
    for seed in seeds:
        trained: list[tuple[Row, Trainer]] = []
        for choice in choices:
            trainer = make_trainer(digits.train, choice, settings, seed)
            losses, step_seconds, train_seconds = train_with_progress(
                settings.steps,
                trainer.advance,
                chunk=chunk,
                description=f"{choice.name}, seed {seed}",
                show=settings.progress,
            )
            row = Row(
                estimator=choice.name,
                seed=seed,
                losses=losses,
                train_bound=trainer.bound(digits.train, settings.passes),
                test_bound=_test_bound(trainer, digits, settings),
                variance=trainer.variance(),
                step_seconds=step_seconds,
                train_seconds=train_seconds,
                learned=trainer.learned(),
            )
            trained.append((row, trainer if equal_time else None))  # type: ignore[arg-type]
        if equal_time:
            trained = _train_on(trained, digits, settings, chunk)
        rows += [row for row, _ in trained]
    return rows


def _train_on(
    trained: list[tuple[Row, Trainer]], digits: Digits, settings: Settings, chunk: int
) -> list[tuple[Row, Trainer]]:
    slowest = max(row.step_seconds for row, _ in trained)
    out = []
    for row, trainer in trained:
        extra = int(settings.steps * (slowest / row.step_seconds - 1.0)) // chunk * chunk
        losses = row.losses
        if extra > 0:
            more, _, _ = train_with_progress(
                extra,
                trainer.advance,
                chunk=chunk,
                description=f"{row.estimator}, seed {row.seed}, the slowest one's time",
                show=settings.progress,
            )
            losses = np.concatenate([losses, more])
        reached = {
            "steps": settings.steps + extra,
            "train_bound": trainer.bound(digits.train, settings.passes),
            "test_bound": _test_bound(trainer, digits, settings),
        }
        out.append((replace(row, losses=losses, equal_time=reached), trainer))
    return out


def _test_bound(trainer: Trainer, digits: Digits, settings: Settings) -> float | None:
    return trainer.bound(digits.test, settings.passes) if len(digits.test) else None
