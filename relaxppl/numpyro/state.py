"""The mutable state of a program's modules, such as running means, where parameters are given."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from numpyro.primitives import Messenger

_PARAMS, _STATE = "$params", "$state"
"""How the host's modules name their parameters and their state, after the module."""


class StateOf(Messenger):
    """Notes which mutable state a program begins anew because the given parameters lack it.

    :param fn: a model or a guide.
    :param given: the parameters and the mutable state by name.
    """

    def __init__(self, fn: Callable[..., Any], given: Mapping[str, Any]) -> None:
        super().__init__(fn)
        self.given, self.missing = given, dict[str, None]()

    def process_message(self, msg: dict[str, Any]) -> None:
        if msg["type"] != "mutable" or msg["name"] in self.given:
            return
        name = msg["name"]
        if msg["value"] is None and name.removesuffix(_STATE) + _PARAMS in self.given:
            raise ValueError(f"the parameters of a module are given without {_text([name])}")
        self.missing[name] = None


def warn(states: Iterable[StateOf], own: Callable[[str], bool] = lambda name: True) -> None:
    """Warns of what begins anew, if anything does.

    :param states: of the model and the guide, after they ran.
    :param own: whether a name is the program's own.
    """
    found = {name: None for state in states for name in state.missing if own(name)}
    if found:
        warnings.warn(f"the parameters are given without {_text(found)}", stacklevel=4)


def _text(names: Iterable[str]) -> str:
    found = ", ".join(map(repr, names))
    return (
        f"the mutable state {found} (running means, say), which begins anew: give both, "
        "{**svi.get_params(state), **state.mutable_state}"
    )
