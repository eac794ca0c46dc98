"""Tables as lines of text, and the packages that only the output needs."""

from __future__ import annotations

from typing import Any


def table(head: list[str], rows: list[list[str]]) -> list[str]:
    """Returns the lines of a table, the first column to the left and the others to the right."""
    columns = list(zip(head, *rows, strict=True))
    widths = [max(map(len, column)) for column in columns]
    return [
        "  ".join(
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in (head, *rows)
    ]


def number(x: float) -> str:
    """Returns a number to three digits."""
    return f"{x:.3g}"


def xarray() -> Any:
    """Returns the module xarray.

    :raises ImportError: naming the extra to install.
    """
    try:
        import xarray as module
    except ImportError as error:
        raise ImportError('a Dataset needs xarray: pip install "relaxppl[arviz]"') from error
    return module
