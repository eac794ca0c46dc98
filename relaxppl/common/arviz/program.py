"""The forms in which a trained program is given."""

from __future__ import annotations

from typing import Any, NamedTuple


class Given(NamedTuple):
    """A trained program, as it was given.

    :param svi: the host's, or None.
    :param model: the model.
    :param guide: the guide.
    :param params: the parameters, or what training returned.
    :param args: the positional arguments of model and guide.
    """

    svi: Any
    model: Any
    guide: Any
    params: Any
    args: tuple[Any, ...]


def given(what: str, program: tuple[Any, ...], svi_class: type, more: str = "") -> Given:
    """Returns a program's parts from either of the forms that it may be given in.

    :param what: who takes it, for the messages.
    :param svi_class: the host's SVI.
    :param more: what else may be given, for the message.
    :raises TypeError: if it is given in neither form.
    """
    if len(program) >= 2 and isinstance(program[0], svi_class):
        svi: Any = program[0]
        return Given(svi, svi.model, svi.guide, program[1], program[2:])
    if len(program) >= 3 and callable(program[0]) and callable(program[1]):
        model, guide, params, *args = program
        return Given(None, model, guide, params, tuple(args))
    kinds = ", ".join(type(each).__name__ for each in program) or "nothing"
    raise TypeError(
        f"{what} takes (svi, result, *args) or (model, guide, params, *args), {more}got {kinds}"
    )
