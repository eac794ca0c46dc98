"""What a run of the program at relaxed values says where it fails."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def explained(errors: tuple[type[Exception], ...], note: str) -> Iterator[None]:
    """Adds a note to what fails inside.

    :param errors: the errors that relaxed values may be the cause of.
    :param note: the explanation.
    """
    try:
        yield
    except errors as error:
        error.add_note(note)
        raise
