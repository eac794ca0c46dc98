"""What studies share: their options, and runs that are kept, so that a cut costs one run."""

import importlib
import json
import re
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import t

from models.common.cli import BadArgumentError, RunFailedError
from models.common.program import Program, plain


class Study(Program):
    """A study, called as a `Program` is, with the options of one and --keep.

    :param name: the study's, as in models.studies.NAME.
    :param description: what it measures, for --help.
    :param run: called with the options, what is kept, and the command that makes this run again.
    :param needs: packages that the study needs beside matplotlib and tqdm.
    :param backend: the host of a study that has one; None lets the user choose.
    """

    def __init__(
        self,
        name: str,
        description: str,
        run: Any,
        needs: Sequence[str] = (),
        backend: str | None = None,
    ) -> None:
        super().__init__(f"studies.{name}", description, run, needs, backend)
        keep = "file of the runs that are done: the same command goes on from there"
        self.add("--keep", type=Path, metavar="FILE", help=keep)

    def begin(self, options: Any, command: str) -> None:
        self.run(options, Kept(options), re.sub(r" --keep \S+", "", command))


def program(options: Any, name: str) -> Any:
    """The program that the study builds on, on the host that was asked for."""
    return importlib.import_module(f"models.{options.backend}.{name}")


def chosen(argument: str, given: Sequence[str], known: Sequence[str]) -> list[str]:
    """What was named, each once; "all" names everything.

    :raises BadArgumentError: a name is unknown or repeated.
    """
    names = list(known) if list(given) == ["all"] else list(given)
    for name in names:
        if name not in known or names.count(name) > 1:
            problem = "is repeated" if name in known else "is unknown"
            raise BadArgumentError(
                argument, f"{name!r} {problem}; choose from {', '.join(known)}, or all"
            )
    return names


def interval(runs: Sequence[float]) -> tuple[float, float | None]:
    """The mean, and half the width of its 95 % interval by Student's t; None for a single run."""
    if len(runs) < 2:
        return float(np.mean(runs)), None
    half = t.ppf(0.975, len(runs) - 1) * np.std(runs, ddof=1) / np.sqrt(len(runs))
    return float(np.mean(runs)), float(half)


def check_finite(losses: np.ndarray, done: int) -> None:
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


class Kept:
    """Runs by name. A run that the file has is not run again.

    :param options: the study's; those that name files or the progress bar make no other run.
    """

    def __init__(self, options: Any) -> None:
        self.path = options.keep
        left_out = ("keep", "out", "quiet")
        asked = {k: str(v) for k, v in sorted(vars(options).items()) if k not in left_out}
        self.asked = json.dumps(asked)
        there = json.loads(self.path.read_text()) if self.path and self.path.exists() else {}
        # Under other options they would be other runs.
        self.runs = there["runs"] if there.get("asked") == self.asked else {}

    def __call__(self, name: str, run: Callable[[], Any]) -> Any:
        """The result of a run, as JSON has it; "seconds" is added to a dictionary without it."""
        if name not in self.runs:
            began = time.perf_counter()
            found = plain(run())
            if isinstance(found, dict):
                found.setdefault("seconds", time.perf_counter() - began)
            self.runs[name] = found
            if self.path:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                part = self.path.with_suffix(".part")
                part.write_text(json.dumps({"asked": self.asked, "runs": self.runs}))
                part.replace(self.path)
        return self.runs[name]
