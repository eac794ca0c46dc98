"""A bounded time spent on several losses: a few draws of each first, then more of the best."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from relaxppl.common.diagnostics import Draws

OUT_OF_TIME = "not measured: the time was over; give more seconds"

_CLOSE = 4.0
"""How many times the best variance x time a loss may have and still get more draws."""
_PART = 0.04
"""The part of what is left that one loss's first draws, and its learning, may each take."""
_RESERVE = 0.05
"""The part of the time that is kept for drawing more of the best."""
_LONGER = 1.2
"""How many times longer than the one before it a loss may take until its first gradient."""
_TURNS = 5
_OPTIMISING = 5.0
"""How many times longer, to be on the safe side, optimising compilation takes than the other."""


class Budget:
    """A bounded time.

    :param seconds: how much of it there is.
    :param clock: gives the time in seconds.
    :raises ValueError: if it is not positive.
    """

    def __init__(self, seconds: float, clock: Callable[[], float]) -> None:
        if not seconds > 0:
            raise ValueError(f"seconds must be positive, got {seconds!r}")
        self.seconds, self.clock = seconds, clock
        self.begin = clock()

    @property
    def spent(self) -> float:
        """How much of it is over."""
        return self.clock() - self.begin

    @property
    def left(self) -> float:
        """What is left of it."""
        return self.seconds - self.spent


@dataclass
class Screened:
    """What a bounded time gave.

    :param draws: by name what was drawn of each loss that runs.
    :param failures: by name why there is nothing of the others.
    :param setup: by name the seconds until a loss gave its first gradients: on NumPyro they are
        those of compiling, as good as all.
    :param optimised: whether what is compiled was optimised.
    """

    draws: dict[str, Draws] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    setup: dict[str, float] = field(default_factory=dict)
    optimised: bool = True


def screen(
    makers: Mapping[str, Callable[[], Any]],
    budget: Budget,
    tune: int,
    num_draws: int,
    ready: Collection[str] = (),
    optimising: Mapping[str, Callable[[], Any]] | None = None,
) -> Screened:
    """Draws a few gradients of each loss, as long as there is time; of two, however long it takes.

    A loss is left out where it would be over time if it took a little longer than the one before.

    :param makers: by name what makes a sampler, in the order in which the time is spent.
    :param budget: the time.
    :param tune: for how many steps each learns at most.
    :param num_draws: how many gradients to draw of each at most.
    :param ready: the names of losses that run what an earlier one has compiled.
    :param optimising: what makes samplers that take longer to compile and run faster; taken in
        place of all if there seems to be time for it. None where there is no such choice.
    """
    found = Screened(optimised=optimising is None)
    last = 0.0
    for name, make in makers.items():
        expected = _RESERVE * budget.seconds + (0.0 if name in ready else last)
        if len(found.draws) >= 2 and expected > budget.left:
            found.failures[name] = OUT_OF_TIME
            continue
        begin = budget.clock()
        try:
            draws = Draws(name, make(), budget.clock)
            draws.sampler.draw(2)
            setup = budget.clock() - begin
            expected = _OPTIMISING * setup * len(makers)
            if optimising is not None and not found.draws and expected < 0.5 * budget.left:
                return screen(optimising, budget, tune, num_draws, ready)
            _first(draws, budget, tune, num_draws)
        except Exception as error:  # A program that a host cannot enumerate fails anyhow.
            found.failures[name] = reason_of(error)
        else:
            found.draws[name], found.setup[name] = draws, setup
            # Two gradients are drawn three times, at the least.
            last = last if name in ready else _LONGER * (setup + 6.0 * draws.seconds)
    return found


def _first(draws: Draws, budget: Budget, tune: int, num_draws: int) -> None:
    part = _PART * max(budget.left, 0.0)
    draws.draw(2)
    affordable = int(part / draws.seconds)
    chunk = min(10, affordable)
    until = budget.clock() + part
    steps = 0
    while chunk and steps < tune and budget.clock() < until:
        draws.sampler.tune(min(chunk, tune - steps))
        steps += chunk
    # What was drawn before it had learned is no part of what is measured.
    draws.forget()
    draws.draw(min(num_draws, max(2, affordable)))
    draws.stats()  # Which runs the program once more, the first time.


def reason_of(error: Exception) -> str:
    """Returns the first line of an error, and of what was added to it, those of JAX left out."""
    notes = [note for note in getattr(error, "__notes__", []) if not note.startswith("--")]
    lines = [text.split("\n")[0] for text in (str(error), *notes)]
    return " ".join(line for line in lines if line) or type(error).__name__


def refine(draws: Mapping[str, Draws], budget: Budget, num_draws: int) -> None:
    """Spends what is left of the time on the losses that may still be the best, in turns.

    :param draws: by name what was drawn of each so far, to which more is added.
    :param budget: the time.
    :param num_draws: how many gradients to draw of each at most.
    """
    for turns in range(_TURNS, 0, -1):
        costs = {name: drawn.stats().cost for name, drawn in draws.items()}
        # What has no variance is the best, and the others are still to be told apart.
        best = min((cost for cost in costs.values() if cost > 0), default=0.0)
        close = [n for n, d in draws.items() if costs[n] <= _CLOSE * best and d.count < num_draws]
        share = budget.left / turns / max(len(close), 1)
        for name in close:
            drawn = draws[name]
            count = min(num_draws - drawn.count, int(share / drawn.seconds))
            if count > 0:
                drawn.draw(count)
