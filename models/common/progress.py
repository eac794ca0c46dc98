"""Training loops with a progress bar that shows the loss."""

import sys
import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from models.common.cli import RunFailedError


def train_with_progress(
    steps: int,
    advance: Callable[[int], NDArray[np.floating]],
    *,
    chunk: int,
    description: str,
    show: bool = True,
) -> tuple[NDArray[np.float64], float, float]:
    """Advance a training loop chunk by chunk, with its loss on a progress bar.

    :param steps: how many steps to take in all.
    :param advance: takes a number of steps, makes them, and returns their losses.
    :param chunk: how many steps to ask for at a time; the last call may ask for fewer.
    :param description: stands before the bar.
    :param show: whether to draw the bar.
    :returns: the losses, shape (steps,); the median time of a step in seconds, without the first
        chunk, which compiles (unless it is the only one); and the whole time in seconds.
    :raises RunFailedError: a loss is not finite.
    """
    losses: list[NDArray[np.floating]] = []
    seconds: list[float] = []
    start = time.perf_counter()
    # A log file gets a line now and then, a terminal a smooth bar.
    pace = 0.1 if sys.stderr.isatty() else 5.0
    with tqdm(
        total=steps, desc=description, unit="step", disable=not show, mininterval=pace
    ) as bar:
        done = 0
        while done < steps:
            size = min(chunk, steps - done)
            before = time.perf_counter()
            new = np.asarray(advance(size))
            seconds.append((time.perf_counter() - before) / size)
            losses.append(new)
            check_finite(new, done)
            done += size
            bar.set_postfix_str(f"loss {new.mean():.2f}", refresh=False)
            bar.update(size)
    median = float(np.median(seconds[1:] or seconds))
    return np.concatenate(losses).astype(np.float64), median, time.perf_counter() - start


def check_finite(losses: NDArray[np.floating], done: int) -> None:
    """Refuse a loss that is not finite.

    :param losses: of the newest steps, shape (n,).
    :param done: how many steps were taken before them.
    :raises RunFailedError: naming the first step whose loss is not finite.
    """
    finite = np.isfinite(losses)
    if not finite.all():
        raise RunFailedError(
            f"the loss is not finite at step {done + int(np.argmin(finite)) + 1}; "
            "lower --learning-rate or raise --temperature"
        )
