"""What the smaller programs of the gallery share: their options, their start and their end."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
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

PACKAGES = ("numpy", "numpyro", "jax", "pyro-ppl", "torch", "scikit-learn", "arviz")


def build_parser(name: str, description: str, backend: str | None = None) -> OneLineParser:
    """A parser with the options that every program has.

    :param name: the program's, as in models.NAME.
    :param description: what it does, for --help.
    :param backend: the host of a program that has one; None lets the user choose.
    :returns: the parser, to which a program adds its own options.
    """
    parser = OneLineParser(prog=name, description=description)
    add = parser.add_argument
    if backend is None:
        add("--backend", choices=("numpyro", "pyro"), default="numpyro", help="the host")
    parser.set_defaults(backend=backend or "numpyro")
    add("--seed", type=seed_int, default=0, help="of the data and of every draw")
    add_out(parser, name.replace(".", "/"), "folder for the pictures and the metrics")
    add("--quiet", action="store_true", help="no progress bar")
    return parser


def start(
    parser: OneLineParser,
    argv: Sequence[str] | None,
    body: Callable[[Any, ModuleType, str], None],
    needs: Sequence[str] = (),
) -> int:
    """Read the command line and run a program.

    :param parser: as `build_parser` made it, with the program's own options.
    :param argv: the arguments; None for those of the process.
    :param body: called with the options, the host's half of relaxppl, and the command that makes
        this run again.
    :param needs: packages that the program needs beside matplotlib and tqdm.
    :returns: 0 when all went well; 2 for an argument that cannot be used; 1 for a failed run.
    """

    def checked(options: Any, given: list[str]) -> None:
        require(("matplotlib", "tqdm", *needs), "models", "this program")
        host = load_host(options.backend)
        body(options, host, command_line(f"models.{parser.prog}", given))

    return launch(parser, argv, checked)


def finish(
    options: Any,
    command: str,
    metrics: Mapping[str, Any],
    figures: Mapping[str, Callable[[Path], None]],
    lines: Sequence[str],
) -> None:
    """Write a run's pictures and metrics together, and print its last lines.

    :param options: as `start` passes them.
    :param command: as `start` passes it.
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
