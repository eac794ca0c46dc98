"""What the docstrings of both hosts share stands once, at the neutral half of a function."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., Any])

_NAMES = {"numpyro": "NumPyro", "pyro": "Pyro"}
_FIELD = re.compile(r"^:((?:param |raises )?\w+):", re.MULTILINE)


def documented_by(*sources: Any) -> Callable[[F], F]:
    """Completes the docstring of a host's function or class by that of its neutral half.

    The host's has a first sentence, what else is true on that host only, and the fields that read
    otherwise there. The neutral one has the further paragraphs, the other fields and, after these,
    the references.

    What both call the host has its name there.

    :param sources: the neutral function or class, and others that describe further arguments.
    """

    def complete(target: F) -> F:
        head, own, _ = _parts(target)
        shared_head, shared, references = _parts(sources[0])
        fields = shared | own
        for source in sources[1:]:
            fields = _parts(source)[1] | fields
        arguments = [f"param {name}" for name in inspect.signature(target).parameters]
        order = [n for n in arguments if n in fields]
        rest = [n for n in shared | own if not n.startswith("param ")]
        order += sorted(rest, key=lambda n: n.startswith("raises"))
        text = [*head, *shared_head[1:], "\n".join(fields[n] for n in order)]
        host = _NAMES.get(target.__module__.split(".")[1], "the host")
        target.__doc__ = re.sub(r"[Tt]he host\b", host, "\n\n".join([*text, *references]))
        return target

    return complete


def _parts(target: Any) -> tuple[list[str], dict[str, str], list[str]]:
    """Returns a docstring's paragraphs, its fields by name, and the paragraphs after these."""
    head, *rest = _FIELD.split(inspect.getdoc(target) or "")
    fields, after = {}, ""
    for name, text in zip(rest[::2], rest[1::2], strict=True):
        text, _, after = text.partition("\n\n")
        fields[name] = f":{name}:{text.rstrip()}"
    return _paragraphs(head), fields, _paragraphs(after)


def _paragraphs(text: str) -> list[str]:
    return [part.strip() for part in text.split("\n\n") if part.strip()]
