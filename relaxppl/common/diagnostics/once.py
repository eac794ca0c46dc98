"""Warnings that several losses give of one program."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def said_once() -> Iterator[None]:
    """Shows each warning once, however many losses give it."""
    show, seen = warnings.showwarning, set()

    def once(message: Any, category: Any, *rest: Any, **named: Any) -> None:
        if (category, str(message)) not in seen:
            seen.add((category, str(message)))
            show(message, category, *rest, **named)

    warnings.showwarning = once
    try:
        yield
    finally:
        warnings.showwarning = show
