"""Command lines whose every refusal is one line on standard error and exit code 2."""

import argparse
import importlib
import importlib.util
import math
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn


class RefusalError(Exception):
    """A program cannot go on, for a reason that its user can act on."""

    exit_code = 2


class BadArgumentError(RefusalError):
    """What the user gave cannot be used: names the argument and says what is allowed."""

    def __init__(self, argument: str, problem: str) -> None:
        super().__init__(f"argument {argument}: {problem}")


class MissingExtraError(RefusalError):
    """An optional dependency is not installed: names it and the extra that brings it."""


class RunFailedError(RefusalError):
    """The run itself went wrong."""

    exit_code = 1


class OneLineParser(argparse.ArgumentParser):
    """An argument parser that reports an error in one line, without the usage text."""

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("formatter_class", argparse.ArgumentDefaultsHelpFormatter)
        super().__init__(allow_abbrev=False, **kwargs)

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: error: {' '.join(message.split())} (see --help)\n")


def run(prog: str, body: Callable[[], None]) -> int:
    """Run a program's body and turn its refusals into one line and an exit code.

    :param prog: the program's name, which begins the line.
    :param body: what to run.
    :returns: 0 when it went through, 2 for what the user gave, 1 for a run that failed.
    """
    try:
        body()
    except RefusalError as refusal:
        print(f"{prog}: error: {' '.join(str(refusal).split())}", file=sys.stderr)
        return refusal.exit_code
    except KeyboardInterrupt:
        print(f"{prog}: interrupted, nothing written", file=sys.stderr)
        return 130
    return 0


def launch(
    parser: OneLineParser,
    argv: Sequence[str] | None,
    body: Callable[[argparse.Namespace, list[str]], None],
) -> int:
    """Read a command line and run a program's body.

    :param parser: of the program's options.
    :param argv: the arguments; None for those of the process.
    :param body: called with the options and the arguments that they were read from.
    :returns: 0 when all went well; 2 for an argument that cannot be used; 1 for a failed run.
    """
    given = list(sys.argv[1:] if argv is None else argv)
    try:
        options = parser.parse_args(given)
    except SystemExit as stop:
        return int(stop.code or 0)
    return run(parser.prog, lambda: body(options, given))


def add_out(parser: OneLineParser, name: str, description: str) -> None:
    """Add the option for the output folder, out/NAME unless told otherwise."""
    parser.add_argument(
        "--out",
        type=output_folder,
        default=Path("out") / name,
        metavar="DIR",
        help=description,
    )


def require(packages: Sequence[str], extra: str, purpose: str) -> None:
    """Refuse to start without the optional packages that the end of the run will need.

    :param packages: names to import.
    :param extra: the extra of relaxppl that brings them.
    :param purpose: what needs them, for the message.
    :raises MissingExtraError: one of them is not installed.
    """
    for package in packages:
        try:
            found = importlib.util.find_spec(package) is not None
        except (ImportError, ValueError):
            found = False
        if not found:
            raise MissingExtraError(
                f"{purpose} needs {package}, which is not installed; "
                f'install it with: pip install "relaxppl[{extra}]"'
            )


def needed(extra: str, *packages: str) -> None:
    """End the process in one line, before a program's own imports fail, if a package is missing.

    :param extra: the extra of relaxppl that brings the packages.
    :param packages: names to import.
    """
    try:
        require(packages, extra, "this program")
    except MissingExtraError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(error.exit_code) from None


def load_host(backend: str) -> ModuleType:
    """Import relaxppl's half for a host.

    :param backend: "numpyro" or "pyro".
    :returns: the module relaxppl.numpyro or relaxppl.pyro.
    :raises BadArgumentError: the host is not installed; the line names the extra.
    """
    try:
        return importlib.import_module(f"relaxppl.{backend}")
    except ImportError as error:
        line = str(error)
        if f"relaxppl[{backend}]" not in line:
            line = f'{line}; install it with: pip install "relaxppl[{backend}]"'
        raise BadArgumentError("--backend", f"{backend} is not available: {line}") from None


def positive_int(text: str) -> int:
    """Parse a whole number of at least 1."""
    return _number(text, int, lambda value: value >= 1, "a whole number of at least 1")


def seed_int(text: str) -> int:
    """Parse a seed: a whole number from 0 to 2**32 - 1."""
    return _number(text, int, lambda v: 0 <= v < 2**32, "a whole number from 0 to 4294967295")


def positive_float(text: str) -> float:
    """Parse a finite number above 0."""
    return _number(text, float, lambda v: math.isfinite(v) and v > 0, "a finite number above 0")


def fraction(text: str) -> float:
    """Parse a number from 0 to below 1."""
    return _number(text, float, lambda value: 0.0 <= value < 1.0, "a number from 0 to below 1")


def output_folder(text: str) -> Path:
    """Parse a folder for output: it may be missing, but must be one that can be written."""
    path = Path(text)
    existing = path
    while not existing.exists() and existing != existing.parent:
        existing = existing.parent
    if not existing.is_dir():
        raise argparse.ArgumentTypeError(f"{text!r} is not allowed: {existing} is not a folder")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not allowed: the folder {existing} cannot be written"
        )
    return path


def command_line(module: str, argv: Sequence[str]) -> str:
    """The command that makes this run again, for metrics files."""
    return " ".join(["python", "-m", module, *argv])


def _number(
    text: str, kind: Callable[[str], Any], allowed: Callable[[Any], bool], description: str
) -> Any:
    try:
        value = kind(text)
    except ValueError:
        value = None
    if value is None or not allowed(value):
        raise argparse.ArgumentTypeError(f"{text!r} is not allowed; give {description}")
    return value
