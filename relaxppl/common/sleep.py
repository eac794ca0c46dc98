"""The sleep phase: what the model draws in the place of what it observes, handed to the guide."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_WAY_OUT = (
    "Hand the observed array to model and guide as an argument of its own, of a mini-batch the "
    "mini-batch (a plate's subsample_size is its length), and observe it unchanged: obs=x. Or keep "
    "insomnia=1.0, which needs no sleep"
)


class Asleep:
    """Draws what is observed, and keeps what it was: a mixin beside the host's ``Messenger``.

    :param args: of the host's.
    """

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.observed: dict[str, Any] = {}

    def meet(self, msg: Any, factor: bool) -> None:
        """Lets an observed site be drawn.

        :param factor: whether it is a factor.
        :raises NotImplementedError: naming the site, if it is.
        """
        if factor:
            check_drawn(msg["name"], factor=True)
        self.observed[msg["name"]] = msg["value"]
        msg["is_observed"], msg["value"] = False, None


def check_drawn(name: str, factor: bool) -> None:
    """Refuses an observed site of which nothing can be drawn.

    :param factor: whether it is a factor.
    :raises NotImplementedError: naming the site.
    """
    why = "is a factor" if factor else "stays observed (a site inside scan, say)"
    raise NotImplementedError(
        f"site {name!r} {why}: the sleep phase draws all data from the model, and of this there is "
        "none. Keep insomnia=1.0, which needs no sleep"
    )


def check_guided(name: str) -> None:
    """Refuses a site of the guide that the model does not draw.

    :raises NotImplementedError: naming the site.
    """
    raise NotImplementedError(
        f"site {name!r} of the guide is none of the model's: the sleep phase fits the guide to "
        "what the model draws, and the model draws no such site. Keep insomnia=1.0, which needs no "
        "sleep"
    )


def arguments(
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    observed: Mapping[str, Any],
    drawn: Mapping[str, Any],
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Returns a program's arguments with the model's draws in place of the data.

    :param args: positional arguments.
    :param kwargs: keyword arguments.
    :param observed: by site of the model the very array that it observes.
    :param drawn: the model's draws in their place, of their dtype.
    :raises ValueError: naming a site whose array is no argument, nor part of one, or whose draw has
        another shape.
    """
    met: set[str] = set()

    def swapped(given: Any) -> Any:
        if isinstance(given, dict):
            return {key: swapped(value) for key, value in given.items()}
        if isinstance(given, (tuple, list)):
            parts = [swapped(value) for value in given]
            named = type(given) not in (tuple, list)
            return type(given)(*parts) if named else type(given)(parts)
        for name, array in observed.items():
            if given is array:
                met.add(name)
                return drawn[name]
        return given

    found = swapped(tuple(args)), swapped(dict(kwargs))
    for name, array in observed.items():
        if name not in met:
            raise ValueError(
                f"site {name!r}: the sleep phase puts the model's draw in place of what this site "
                "observes, and no argument of the programs is that array: it is computed from one, "
                f"or comes from elsewhere. {_WAY_OUT}"
            )
        if tuple(drawn[name].shape) != tuple(array.shape):
            raise ValueError(
                f"site {name!r}: the model draws {tuple(drawn[name].shape)} where it observes "
                f"{tuple(array.shape)}, so that the draw cannot stand for the data. {_WAY_OUT}"
            )
    return found
