"""How contenders are timed: they take turns, on the processor's clock of one process.

A busy machine then slows them little and alike, and a ratio is that of two neighbours in time.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import numpy as np

Run = Callable[[], object]


def clock(run: Run) -> float:
    """The processor's time of one run."""
    begin = time.process_time()
    run()
    return time.process_time() - begin


def seconds(runs: Sequence[Run], turns: int, warm: int = 2) -> np.ndarray:
    """The time of each run in each turn, (turns, runs); the turns that warm up are left out."""
    out = []
    for turn in range(turns + warm):
        # Every other turn backwards: none is always the one after a slow one.
        order = range(len(runs))[:: 1 if turn % 2 else -1]
        times = [0.0] * len(runs)
        for i in order:
            times[i] = clock(runs[i])
        out.append(times)
    return np.array(out[warm:])
