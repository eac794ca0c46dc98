"""How a benchmark shows what it measured: a table in Markdown, printed and, on request, kept.

A benchmark prints ``markdown(header, rows)`` and with ``--write`` hands its tables to ``write``,
which keeps them in docs/benchmarks/ for docs/benchmarks.md to include. What ran where stands in
the first line, taken at run time.
"""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

FOLDER = Path(__file__).parents[2] / "docs" / "benchmarks"
HOSTS = {
    "numpyro": ("NumPyro", "numpyro"),
    "jax": ("JAX", "jax"),
    "pyro": ("Pyro", "pyro-ppl"),
    "torch": ("torch", "torch"),
}
"""The module of each host, its name in prose and that of its package."""


def markdown(header: Sequence[Any], rows: Iterable[Sequence[Any]]) -> str:
    """A table whose first column is text and whose others are figures; None is an empty cell."""
    lines = [["" if cell is None else str(cell) for cell in row] for row in (header, *rows)]
    widths = [max(3, *map(len, column)) for column in zip(*lines, strict=True)]
    rule = ["-" * w if i == 0 else "-" * (w - 1) + ":" for i, w in enumerate(widths)]
    padded = [
        [
            c.ljust(w) if i == 0 else c.rjust(w)
            for i, (c, w) in enumerate(zip(row, widths, strict=True))
        ]
        for row in lines
    ]
    return "\n".join(f"| {' | '.join(row)} |" for row in (padded[0], rule, *padded[1:]))


def spread(ratios: Any) -> str:
    """The median of the ratios, and from the least to the most."""
    r = np.asarray(ratios)
    return f"{np.median(r):.2f} ({r.min():.2f}-{r.max():.2f})"


def command() -> str:
    """What was typed, with a path of this machine cut to its last part."""
    spec = sys.modules["__main__"].__spec__
    called = ["python", "-m", spec.name] if spec else ["python", Path(sys.argv[0]).name]
    given = [Path(a).name if os.path.isabs(a) else a for a in sys.argv[1:]]
    return shlex.join([*called, *given])


def versions(others: Mapping[str, str] | None = None) -> str:
    """The hosts that are loaded, and others by name, with their versions."""
    found = {name: version(package) for m, (name, package) in HOSTS.items() if m in sys.modules}
    return ", ".join(f"{name} {v}" for name, v in {**found, **(others or {})}.items())


def machine() -> str:
    """How many cores this process may use, and the kind of the GPU that the hosts see."""
    cores = len(os.sched_getaffinity(0))
    gpu = None
    if "jax" in sys.modules and sys.modules["jax"].default_backend() == "gpu":
        gpu = sys.modules["jax"].devices()[0].device_kind
    elif "torch" in sys.modules and sys.modules["torch"].cuda.is_available():
        gpu = sys.modules["torch"].cuda.get_device_name()
    return f"{cores} core{'s' * (cores > 1)}, {gpu or 'no GPU'}"


def write(name: str, text: str, others: Mapping[str, str] | None = None) -> Path:
    """Keeps tables as docs/benchmarks/NAME.md, a fragment without a heading of the top level.

    ``others`` adds to the versions those of what ran in another interpreter.
    """
    FOLDER.mkdir(exist_ok=True)
    path = FOLDER / f"{name}.md"
    path.write_text(f"`{command()}`: {versions(others)}; {machine()}.\n\n{text.strip()}\n")
    return path
