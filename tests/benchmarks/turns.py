"""How contenders are timed: they take turns, on the processor's clock of one process.

A busy machine then slows them little and alike, and a ratio is that of two neighbours in time.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence

import numpy as np

Run = Callable[[], object]


def clock(run: Run, repeats: int = 1) -> float:
    """The processor's time of one run."""
    begin = time.process_time()
    for _ in range(repeats):
        run()
    return (time.process_time() - begin) / repeats


def median(run: Run, repeats: int, warm: int = 2) -> float:
    """The processor's time of a run that takes no turns with others: the median of so many."""
    return float(np.median([clock(run) for _ in range(warm + repeats)][warm:]))


def seconds(runs: Sequence[Run], turns: int, warm: int = 2, at_least: float = 0.0) -> np.ndarray:
    """The time of each run in each turn, (turns, runs); the turns that warm up are left out.

    A turn repeats each run as often as the quickest needs to take ``at_least`` seconds.
    """
    out, repeats = [], 1
    for turn in range(turns + warm):
        # Every other turn backwards: none is always the one after a slow one.
        order = range(len(runs))[:: 1 if turn % 2 else -1]
        times = [0.0] * len(runs)
        for i in order:
            times[i] = clock(runs[i], repeats)
        out.append(times)
        if turn == warm - 1:
            repeats = max(1, math.ceil(at_least / min(times)))
    return np.array(out[warm:])
