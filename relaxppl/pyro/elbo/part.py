"""A random part of the batch: the variance's gradient there, scaled, has the mean of the whole's.

What a plate separates adds up row by row, the squares of the local gradients too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch.utils._pytree import tree_flatten, tree_unflatten

from relaxppl.pyro.elbo.parameters import Own
from relaxppl.pyro.elbo.program import Program

_PARTICLES = "num_particles_vectorized"


class Part(NamedTuple):
    """The arguments of a run on some rows of a plate."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    plate: str
    size: int
    """How many rows there are."""
    whole: int
    """How many there are in the batch."""


def take_part(program: Program, names: Iterable[str], fraction: float) -> Part:
    """Returns a random part of the outermost plate whose rows can be chosen.

    :param program: after its run on the whole batch.
    :param names: the sites that learn: every term that depends on them lies in the plate.
    :param fraction: how much of the plate, in (0, 1).
    :raises NotImplementedError: if there is no such plate.
    """
    names = frozenset(names)
    stacks = [program.sites[n].frames for n in names]
    stacks += [term.frames for term in program.terms if term.deps & names]
    common = {frame.name for frame in stacks[0] if frame.name != _PARTICLES}
    common = common.intersection(*({frame.name for frame in stack} for stack in stacks))
    leaves, tree = tree_flatten((program.args, program.kwargs))
    for frame in sorted(stacks[0], key=lambda frame: frame.dim):
        whole = frame.size
        if frame.name not in common or not any(_has_rows(leaf, whole) for leaf in leaves):
            continue
        count = max(1, round(fraction * whole))
        rows = torch.randperm(whole)[:count]
        cut = [leaf[rows.to(leaf.device)] if _has_rows(leaf, whole) else leaf for leaf in leaves]
        args, kwargs = tree_unflatten(cut, tree)
        return Part(args, kwargs, frame.name, count, whole)
    inside = ", ".join(map(repr, sorted(common))) or "none"
    raise NotImplementedError(
        f"variance_fraction takes rows of a plate around the sites {', '.join(sorted(names))} and "
        f"all that depends on them. Such plates: {inside}; no argument of the model has the length "
        "of one as first axis. Pass the data, or the plate's subsample, as an argument, or use "
        "variance_every"
    )


@contextmanager
def on_rows(part: Part) -> Iterator[None]:
    """Explains what fails while a program runs on the part."""
    try:
        yield
    except (IndexError, TypeError, ValueError, RuntimeError) as error:
        error.add_note(
            f"This was raised while the program ran on {part.size} of the {part.whole} rows of "
            f"plate {part.plate!r}, for variance_fraction: every argument whose first axis has the "
            "plate's length was cut. A program that has that length elsewhere can use "
            "variance_every instead."
        )
        raise


def weight(part: Part, whole: Program, on_part: Program, name: str) -> Any:
    """Returns the factor that makes a gradient of V on the part one on the whole.

    Costs carry the scale of their site, which may follow the number of rows; V has its square.

    :param name: a site that learns.
    """
    size = next(f.size for f in on_part.sites[name].frames if f.name == part.plate)
    if size != part.size:
        raise ValueError(
            f"variance_fraction: plate {part.plate!r} has {size} rows on {part.size} rows of the "
            "arguments; its length must be theirs. Or use variance_every"
        )
    ratio = _scale(on_part, name) / _scale(whole, name)
    return part.whole / part.size / ratio**2


class OnPart(Own):
    """The estimator's parameters as a run on a part sees them: temperatures alone learn there.

    :param own: those of the step.
    :param factor: what their gradients are multiplied by.
    """

    def __init__(self, own: Own, factor: Any) -> None:
        super().__init__()
        self.read = own.read  # type: ignore[method-assign]
        self._own, self._factor = own, factor

    def learn(self, name: str, gradient: torch.Tensor) -> None:
        if name.endswith(".estimator.temperature"):
            self._own.learn(name, self._factor * gradient)


def _scale(program: Program, name: str) -> Any:
    scale = program.guide_trace.nodes[name]["scale"]
    if isinstance(scale, torch.Tensor) and scale.numel() > 1:
        raise NotImplementedError(
            f"variance_fraction: the scale of site {name!r} has the shape {tuple(scale.shape)}; "
            "use one number, or variance_every"
        )
    return scale


def _has_rows(value: Any, size: int) -> bool:
    return isinstance(value, torch.Tensor) and tuple(value.shape[:1]) == (size,)
