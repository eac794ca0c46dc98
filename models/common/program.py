"""What the smaller programs of the gallery share: their options, their start and their end."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from models.common.cli import (
    OneLineParser,
    add_out,
    command_line,
    launch,
    load_host,
    require,
    seed_int,
)
from models.common.outputs import versions, write_metrics, written_together

HOSTS = ("numpyro", "pyro")
PACKAGES = ("numpy", "numpyro", "jax", "pyro-ppl", "torch", "scikit-learn", "arviz")


class Program:
    """A program: called with its arguments, it runs, and returns what `launch` says.

    :param name: as in models.NAME.
    :param description: what it does; --help shows the first line.
    :param run: called with the options and the command that makes this run again.
    :param needs: packages that the program needs beside matplotlib and tqdm.
    :param backend: the host of a program that has one; None lets the user choose.
    """

    def __init__(
        self,
        name: str,
        description: str,
        run: Any,
        needs: Sequence[str] = (),
        backend: str | None = "pyro",
    ) -> None:
        self.parser = OneLineParser(prog=name, description=description.splitlines()[0])
        self.add, self.run, self.needs = self.parser.add_argument, run, needs
        if backend is None:
            self.add("--backend", choices=HOSTS, default="numpyro", help="the host")
        else:
            host = name.split(".")[0]
            self.parser.set_defaults(backend=host if host in HOSTS else backend)
        self.add("--seed", type=seed_int, default=0, help="of the data and of every draw")
        add_out(self.parser, name.replace(".", "/"), "folder for the pictures and the metrics")
        self.add("--quiet", action="store_true", help="no progress bar")

    def begin(self, options: Any, command: str) -> None:
        """Run, the options read and the host loaded."""
        self.run(options, command)

    def __call__(self, argv: Sequence[str] | None = None) -> int:
        def checked(options: Any, given: list[str]) -> None:
            require(("matplotlib", "tqdm", *self.needs), "models", "this program")
            load_host(options.backend)
            self.begin(options, command_line(f"models.{self.parser.prog}", given))

        return launch(self.parser, argv, checked)


def finish(
    options: Any,
    command: str,
    metrics: Mapping[str, Any],
    figures: Mapping[str, Callable[[Path], None]],
    lines: Sequence[str],
) -> None:
    """Write a run's pictures and metrics together, and print its last lines.

    :param options: as a `Program` passes them.
    :param command: likewise.
    :param metrics: the run's numbers.
    :param figures: file name to the function that draws it at a path.
    :param lines: what to print.
    :raises BadArgumentError: the folder cannot be written.
    """
    asked = {"command": command, "backend": options.backend, "seed": options.seed}
    with written_together(options.out) as folder:
        for name, draw in figures.items():
            draw(folder / name)
        write_metrics(
            folder / "metrics.json", asked | plain(metrics) | {"versions": versions(*PACKAGES)}
        )
    print("\n".join(lines))
    print(f"written to {options.out}: {', '.join([*figures, 'metrics.json'])}")


def plain(value: Any) -> Any:
    """Turn arrays and NumPy numbers, nested in dictionaries and lists, into what JSON can hold."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist())
    # Six digits are enough for a page, and keep the files short.
    return float(f"{value:.6g}") if isinstance(value, float) else value
