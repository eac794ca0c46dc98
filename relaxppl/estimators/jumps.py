"""Dependences that no derivative sees, told from those that one sees by a mark at their names.

A comparison, a rounding or an integer made of a relaxed value jumps as the value moves. A control
variate that is differentiated along the value has mean zero only without such terms.
"""

from __future__ import annotations

from functools import cache

Names = frozenset[str]
NONE: Names = frozenset()
_JUMP = "\0"
"""Before a name: the dependence on it is none that a derivative sees."""


@cache
def jumps(names: Names) -> Names:
    """Returns the names of the sites on which a value depends by more than derivatives see.

    :param names: of sites, with marks.
    """
    return frozenset(name[1:] for name in names if name.startswith(_JUMP))


@cache
def plain(names: Names) -> Names:
    """Returns names without what tells how a derivative sees them."""
    return frozenset(name for name in names if not name.startswith(_JUMP))


@cache
def by_jumps(names: Names) -> Names:
    """Returns names with the mark that the dependence on them is none that a derivative sees."""
    return names | {_JUMP + name for name in names if not name.startswith(_JUMP)}
