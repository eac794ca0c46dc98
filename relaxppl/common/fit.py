"""The progress bar of a long fit: the bound, the gradient's variance and the temperature."""

from __future__ import annotations

import importlib
import sys
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any

import numpy as np

from relaxppl.common.naming import TEMPERATURE
from relaxppl.common.relax.watching import Watched
from relaxppl.estimators.elbo import temperature_of
from relaxppl.ops import as_numpy

SECONDS = 0.2
"""How long a chunk of steps shall take, between two looks at the bar."""


def check(num_steps: Any, progress: Any) -> None:
    """Checks the arguments of ``fit``.

    The bar shows the bound and the gradient's variance, both over the steps since it last moved,
    and the temperature of ``relax`` or of the ELBO. The variance is the sum over all parameters
    of half the mean squared difference between one step's gradient and the next one's.

    :param svi: the host's SVI.
    :param num_steps: how many steps, at least 1.
    :param args: the arguments of model and guide.
    :param progress: whether to show the bar; None shows it in terminals and notebooks only.
    :param checkpoint_every: how many steps.
    :param kwargs: the keyword arguments of model and guide.
    :raises TypeError: if num_steps is no whole number, or progress none of its values.
    :raises ValueError: if num_steps or checkpoint_every is below 1, or if the checkpoint is of
        another program, naming what differs.
    :raises FileNotFoundError: if the checkpoint's folder is not there.
    :raises ImportError: naming the extra, if a bar is asked for and tqdm is not installed.
    """
    if isinstance(num_steps, bool) or not isinstance(num_steps, (int, np.integer)):
        raise TypeError(f"fit: num_steps must be a whole number, got {num_steps!r}")
    if num_steps < 1:
        raise ValueError(f"fit: num_steps must be at least 1, got {num_steps}")
    if not (progress is None or isinstance(progress, bool)):
        raise TypeError(f"fit: progress must be True, False or None, got {progress!r}")


def bar_class(progress: bool | None, what: str = "fit") -> Any:
    """Returns tqdm's class of bars, or None where there is to be no bar.

    :param progress: whether there is to be one; None where someone may look: in a terminal or a
        notebook, if tqdm is installed.
    :param what: who wants it, for the message.
    :raises ImportError: naming the extra, if one is asked for and tqdm is not installed.
    """
    notebook = "ipykernel" in sys.modules
    if progress is False or (progress is None and not (sys.stderr.isatty() or notebook)):
        return None
    try:
        return importlib.import_module("tqdm.auto" if notebook else "tqdm").tqdm
    except ImportError as error:
        if progress is None:
            return None
        raise ImportError(
            f'{what}: the progress bar needs tqdm ({error}): pip install "relaxppl[progress]"'
        ) from error


class Gradients:
    """An optimiser that adds up how much the gradient differs from one step to the next.

    The mean gradient changes slowly, so that half the squared difference of two steps is the
    variance of one: the estimate of von Neumann, 1941, for a mean that drifts.

    :param optim: the optimiser that does the work.
    """

    def __init__(self, optim: Any) -> None:
        self.optim = optim


class Bar:
    """A bar over the steps of a fit, and the clock that says when to look at it.

    :param cls: what :func:`bar_class` returned.
    :param num_steps: in all.
    """

    def __init__(self, cls: Any, num_steps: int) -> None:
        self.total = num_steps
        self.done = 0
        self._bar = cls(total=num_steps, unit="step", mininterval=0.0)
        self._last = time.perf_counter()

    def __enter__(self) -> Bar:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._bar.close()

    def skip(self, steps: int) -> None:
        """Moves the bar on by steps that were taken before."""
        self.done += steps
        self._bar.update(steps)

    def due(self) -> bool:
        """Returns whether it is time to show something."""
        return time.perf_counter() - self._last >= SECONDS

    def next_chunk(self, size: int) -> int:
        """Returns how many steps to take until the next look.

        :param size: of the last chunk, which has just ended.
        """
        spent = time.perf_counter() - self._last
        # No more than ten times as many: the first chunk has a compilation in it.
        wanted = int(size * min(10.0, SECONDS / max(spent, 1e-9)))
        return max(1, min(max(wanted, 2 * size if spent < SECONDS else 1), self.total - self.done))

    def show(
        self, steps: int, bound: float, variance: float | None, temperatures: Mapping[str, Any]
    ) -> None:
        """Moves the bar on.

        :param steps: how many since the last time.
        :param bound: the ELBO, averaged over them.
        :param variance: of the gradient, or None where it is not known.
        :param temperatures: by site.
        """
        self.done += steps
        said = [f"bound {bound:.4g}"]
        if variance is not None:
            said.append(f"gradient variance {variance:.3g}")
        values = [float(np.mean(value)) for value in temperatures.values()]
        if values:
            low, high = f"{min(values):.3g}", f"{max(values):.3g}"
            said.append(f"temperature {low if low == high else f'{low} to {high}'}")
        self._bar.set_postfix_str(", ".join(said), refresh=False)
        self._bar.update(steps)
        self._last = time.perf_counter()


def temperatures(
    sites: Mapping[str, Watched], params: Mapping[str, Any], loss: Any, step: Any
) -> dict[str, Any]:
    """Returns the temperatures at a step, as far as they can be told from outside.

    :param sites: what ``relax`` relaxed.
    :param params: the parameters now: those that an ELBO learns are among them.
    :param loss: the ELBO.
    :param step: the count of steps that schedules follow, or None.
    """
    found = {}
    for name, site in sites.items():
        value = site.current
        if callable(value):
            value = None if step is None else value(step)
        if value is not None:
            found[name] = value
    learned = {n: v for n, v in params.items() if n.endswith(TEMPERATURE)}
    temperature = temperature_of(loss)
    if not learned and temperature is not None:
        found["estimator"] = temperature
    numbers = {}
    for name, value in (found | learned).items():
        try:
            numbers[name] = as_numpy(value).astype(float)
        except Exception:  # A traced value of a program has no number outside it.
            continue
    return numbers
