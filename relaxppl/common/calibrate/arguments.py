"""Where the data stand among a program's arguments, and drawn data in their place."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from relaxppl import ops

Place = tuple[Any, Any]
"""A position or a name among the arguments, and the key in the dict that stands there, or None."""


def places(
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    observed: Mapping[str, np.ndarray],
    array: Callable[[Any], np.ndarray | None],
) -> dict[Place, str]:
    """Returns the observed site of each argument whose value it is.

    An argument may be a dict of arrays.

    :param args: positional.
    :param kwargs: by name.
    :param observed: the observed values, by site.
    :param array: from an argument to an array, or None for what is no array of numbers.
    :raises ValueError: naming an observed site that is none of the arguments, or two that are one.
    """
    found: dict[Place, str] = {}
    given: dict[Place, Any] = {}
    for at, value in [*enumerate(args), *kwargs.items()]:
        inside = value.items() if isinstance(value, Mapping) else [(None, value)]
        given |= {(at, key): each for key, each in inside}
    for place, value in given.items():
        values = array(value)
        if values is None or values.ndim == 0:
            continue
        same = [
            n for n, o in observed.items() if o.shape == values.shape and np.array_equal(o, values)
        ]
        if len(same) > 1:
            raise _unclear(f"{' and '.join(map(repr, same))} observe the same values")
        if same:
            found[place] = same[0]
    missing = [name for name in observed if name not in found.values()]
    if missing:
        raise _unclear(f"what {missing[0]!r} observes is none of the arguments as it stands")
    if not observed:
        raise ValueError("calibrate: the model observes nothing, so that there is no data to draw")
    return found


def replaced(
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    found: Mapping[Place, str],
    drawn: Mapping[str, Any],
    like: Callable[[Any, Any], Any],
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Returns the arguments with drawn data in the place of those that were given.

    :param found: what :func:`places` returned.
    :param drawn: the drawn values, by site.
    :param like: from a drawn value and the argument that it replaces to one of its type.
    """
    new: dict[Any, Any] = dict(enumerate(args)) | dict(kwargs)
    for (at, key), name in found.items():
        if key is None:
            new[at] = like(drawn[name], new[at])
        else:
            new[at] = {**new[at], key: like(drawn[name], new[at][key])}
    return tuple(new[i] for i in range(len(args))), {name: new[name] for name in kwargs}


class Arguments:
    """A program's arguments, in which drawn data can take the place of those that were given.

    :param args: positional.
    :param kwargs: by name.
    :param data: from drawn observations, by site, to the positional arguments; None finds their
        places among the arguments.
    :param observed: the observed values, by site.
    :param array: from an argument to an array, or None for what is no array of numbers.
    :param like: from a drawn value and the argument that it replaces to one of its type.
    :raises ValueError: naming an observed site that is none of the arguments, or two that are one.
    """

    def __init__(
        self,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        data: Callable[[dict[str, Any]], tuple[Any, ...]] | None,
        observed: Mapping[str, np.ndarray],
        array: Callable[[Any], np.ndarray | None],
        like: Callable[[Any, Any], Any],
    ) -> None:
        self.args, self.kwargs, self.data, self.like = args, kwargs, data, like
        self.places = {} if data is not None else places(args, kwargs, observed, array)

    def of(self, observed: Mapping[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Returns the arguments with the data that a run has drawn.

        :param observed: the messages of the observed sites, by name.
        """
        drawn = {name: site["value"] for name, site in observed.items()}
        if self.data is not None:
            return tuple(self.data(drawn)), self.kwargs
        return replaced(self.args, self.kwargs, self.places, drawn, self.like)

    def check(self, run: Any, latents: Mapping[str, Any], observed: Mapping[str, Any]) -> None:
        """Checks that the model observes the data that were drawn for it.

        :param run: from arguments and latent values to what the model observes.
        :param latents: the messages of the model's latent sites in a run, by name.
        :param observed: the same of what it observes.
        :raises ValueError: naming the site.
        """
        seen = run(*self.of(observed), {n: s["value"] for n, s in latents.items()})
        check_observed({n: ops.as_numpy(s["value"]) for n, s in observed.items()}, seen)


def check_observed(expected: Mapping[str, np.ndarray], seen: Mapping[str, np.ndarray]) -> None:
    """Checks that a model observes the data that were drawn for it.

    :raises ValueError: naming the site.
    """
    for name, value in expected.items():
        if name not in seen or not np.array_equal(np.asarray(value), seen[name]):
            raise _unclear(f"with the drawn data for arguments, {name!r} observes something else")


def _unclear(why: str) -> ValueError:
    return ValueError(
        f"calibrate: {why}; give data=, a function that returns the positional arguments of model "
        "and guide, given the drawn observations by site"
    )
