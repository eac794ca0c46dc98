"""The loop over data sets: its bar, and its file, from which it goes on."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np

from relaxppl.common.calibrate.result import Calibration
from relaxppl.common.calibrate.simulate import Quantity
from relaxppl.common.fit import bar_class
from relaxppl.ops import as_numpy

SECONDS = 5.0
"""How often the file is written."""
FEWEST = 40
"""Data sets, for tests whose statistics are means over them."""

Values = Mapping[str, np.ndarray]
Simulate = Callable[[int, int], tuple[Values, Values]]
"""From the first and the end of some data sets to true values, (data sets, *shape) by site, and
draws of the guide, (data sets, draws, *shape)."""


@dataclass(frozen=True)
class Request:
    """What is asked for.

    :param num_simulations: data sets in all.
    :param num_draws: of the guide for each.
    :param level: of the whole.
    :param keep: a file, or None.
    :param progress: as of ``fit``.
    :raises TypeError: for a count that is no whole number.
    :raises ValueError: for too few data sets or draws, or a level that is no small probability.
    """

    num_simulations: int
    num_draws: int
    level: float
    keep: str | os.PathLike[str] | None
    progress: bool | None

    def __post_init__(self) -> None:
        for name, value, least in (
            ("num_simulations", self.num_simulations, FEWEST),
            ("num_draws", self.num_draws, 9),
        ):
            if not is_count(value):
                raise TypeError(f"calibrate: {name} must be a whole number, got {value!r}")
            if value < least:
                raise ValueError(f"calibrate: {name} must be at least {least}, got {value}")
        if not 0.0 < self.level < 0.5:
            raise ValueError(f"calibrate: level must lie between 0 and 0.5, got {self.level}")


def is_count(value: Any) -> bool:
    """Returns whether the place of a fit's result holds a number of steps."""
    return isinstance(value, Integral) and not isinstance(value, bool)


def check_no_params(names: list[str]) -> None:
    """Checks that a model has nothing to be fitted to each data set, which would be another model.

    :param names: of its parameters.
    :raises ValueError: naming them.
    """
    if names:
        raise ValueError(
            f"calibrate: the model has parameters of its own ({', '.join(map(repr, names))}), and "
            "a fit for each data set would change the model that drew it; fit once and give the "
            "result in place of a number of steps, or draw them from a prior"
        )


def identity(
    model: Any, guide: Any, steps: int | None, params: Mapping[str, Any], **seed: str
) -> dict[str, str]:
    """Returns by what a program of a file is told from another.

    :param steps: of each fit, or None where one serves every data set.
    :param params: its parameters.
    :param seed: of the random numbers.
    """
    fit = f"{steps} steps each"
    if steps is None:
        fit = f"the parameters {digest({n: as_numpy(v) for n, v in params.items()})}"
    return {"model": _name_of(model), "guide": _name_of(guide), "fit": fit, **seed}


def _name_of(program: Any) -> str:
    named = getattr(program, "__qualname__", None) or type(program).__qualname__
    return str(named)


def digest(values: Mapping[str, np.ndarray]) -> str:
    """Returns a few letters that differ where arrays do."""
    found = hashlib.sha256()
    for name in sorted(values):
        array = np.ascontiguousarray(values[name])
        found.update(f"{name} {array.shape} {array.dtype}".encode())
        found.update(array.tobytes())
    return found.hexdigest()[:16]


class Kept:
    """The counts of the data sets that are done, in memory and in a file.

    :param path: of the file, or None for none.
    :param identity: what a file must say of its origin to be gone on with, by what it is.
    :param quantities: by name.
    :param total: how many data sets there shall be.
    :raises ValueError: if the file is of something else; the message names what.
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | None,
        identity: Mapping[str, str],
        quantities: Mapping[str, Quantity],
        total: int,
    ) -> None:
        self.path = None if path is None else Path(path)
        self.identity = dict(identity)
        size = {n: int(np.prod(q.shape, dtype=int)) for n, q in quantities.items()}
        self.counts = {n: np.zeros((2, total, size[n]), np.int64) for n in quantities}
        self.done = 0
        self._saved = time.perf_counter()
        if self.path is not None and self.path.exists():
            self._read()

    def _read(self) -> None:
        assert self.path is not None
        try:
            with np.load(self.path, allow_pickle=False) as file:
                held = json.loads(str(file["identity"]))
                arrays = {n: file[f"counts {n}"] for n in held["quantities"]}
        except (OSError, ValueError, KeyError) as error:
            raise ValueError(
                f"calibrate: {self.path} is no file of calibrate; give another to keep"
            ) from error
        for what, value in self.identity.items():
            if held["identity"].get(what) != value:
                raise ValueError(
                    f"calibrate: {self.path} holds another run: its {what} is "
                    f"{held['identity'].get(what)}, here it is {value}; give another file to "
                    "keep, or remove it"
                )
        total = next(iter(self.counts.values())).shape[1]
        self.done = min(total, held["done"])
        for name, array in arrays.items():
            self.counts[name][:, : self.done] = array[:, : self.done]

    def put(self, name: str, start: int, pair: tuple[np.ndarray, np.ndarray]) -> None:
        """Puts the counts of some data sets of one quantity where they belong."""
        for i, each in enumerate(pair):
            self.counts[name][i, start : start + len(each)] = each

    def save(self, now: bool = False) -> None:
        """Writes the file, if it is time or must be."""
        if self.path is None or not (now or time.perf_counter() - self._saved > SECONDS):
            return
        text = json.dumps(
            {"identity": self.identity, "done": self.done, "quantities": list(self.counts)}
        )
        arrays: dict[str, Any] = {f"counts {n}": c[:, : self.done] for n, c in self.counts.items()}
        # Beside the file, because a move is atomic only within one file system.
        part = self.path.with_name(f".{self.path.name}.{os.getpid()}")
        try:
            with part.open("wb") as file:
                np.savez(file, identity=np.array(text), **arrays)
            os.replace(part, self.path)
        finally:
            part.unlink(missing_ok=True)
        self._saved = time.perf_counter()


def run(
    request: Request,
    simulate: Simulate,
    quantities: Mapping[str, Quantity],
    identity: Mapping[str, str],
    chunk: int,
    host: tuple[str, str],
) -> Calibration:
    """Returns whether a guide's posteriors are right, on data sets drawn from the model.

    Latent values and data are drawn from the model, and the values that made the data are compared
    with draws of the guide: ranks of continuous sites and counts, frequencies and probabilities of
    discrete ones, and the ranks of the joint log density.

    :param program: as said; then the positional arguments of model and guide. The observations
        among them are replaced by drawn ones.
    :param request: what is asked for.
    :param simulate: draws data sets and fits them.
    :param quantities: what is compared, by name.
    :param identity: of the program, for the file.
    :param num_simulations: how many data sets.
    :param num_draws: how many draws of the guide for each.
    :param data: from drawn observations, by site, to the positional arguments; None where the
        observations are arguments as they stand.
    :param level: the chance that a right guide is called wrong.
    :param keep: a file that the work done is kept in, and that a further call goes on from.
    :param progress: whether to show a bar; None shows it in terminals and notebooks only.
    :param chunk: how many data sets at a time.
    :param host: its name and that of its package.
    :param kwargs: the keyword arguments of model and guide.
    :returns: to be printed: a verdict with the figures; ``passed``, ``plot()``, ``to_arviz()``.
    :raises TypeError: if the program is given in none of its forms, or a count is none.
    :raises ValueError: for counts that are too small, a level that is no small probability, data
        that cannot be found among the arguments, a model with parameters to be fitted to each data
        set, or a file of another program.
    :raises ImportError: naming the extra, if a bar is asked for and tqdm is not installed.

    Talts et al., 2018 (arXiv:1804.06788); Modrák et al., 2023 (arXiv:2211.02383).
    """
    total = request.num_simulations
    cls = bar_class(request.progress, "calibrate")
    sizes = ", ".join(f"{n} {q.shape}" for n, q in quantities.items())
    named = {**identity, "sites": sizes, "num_draws": str(request.num_draws)}
    kept = Kept(request.keep, named, quantities, total)
    bar = None if cls is None else cls(total=total, initial=kept.done, unit="data set")
    try:
        while kept.done < total:
            end = min(kept.done + chunk, total)
            truth, draws = simulate(kept.done, end)
            for name, each in quantities.items():
                kept.put(name, kept.done, each.counts(truth[name], draws[name]))
            if bar is not None:
                bar.update(end - kept.done)
            kept.done = end
            kept.save()
    finally:
        if bar is not None:
            bar.close()
        if kept.done:
            kept.save(now=True)
    attrs = {"host": host[0], "inference_library": host[1], "fit": identity["fit"]}
    return Calibration(kept.counts, quantities, request.num_draws, request.level, attrs)
