"""What the estimators may know about a distribution that is drawn in steps."""

from __future__ import annotations

from typing import Any

from relaxppl.common.shell import Shell
from relaxppl.estimators.sequences import SEQUENCES, Sequence


def sequence_type(base: Any) -> type[Sequence] | None:
    """Returns the law in steps of a distribution without its wrappers, or None."""
    name = base.relaxation.in_steps if isinstance(base, Shell) else None
    return None if name is None else SEQUENCES[name]


def sequence_of(base: Any, shape: tuple[int, ...]) -> Sequence | None:
    """Returns the law in steps of a distribution, its parameters expanded, or None.

    :param base: the distribution without its wrappers.
    :param shape: (*batch_shape, *event_shape) with them.
    """
    kind = sequence_type(base)
    return None if kind is None else kind.of(base.law, shape[: len(shape) - kind.rank])
