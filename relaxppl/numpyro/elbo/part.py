"""A random part of the batch: the variance's gradient there, scaled, has the mean of the whole's.

What a plate separates adds up row by row, the squares of the local gradients too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from relaxppl.numpyro.elbo.program import Program
from relaxppl.numpyro.elbo.structure import Term, frames_of


class Part(NamedTuple):
    """The arguments of a run on some rows of a plate."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    rows: dict[str, jax.Array]
    """The subsample to use in the plate, if it subsamples."""
    plate: str
    size: int
    """How many rows there are."""
    whole: int
    """How many there are in the batch."""


def take_part(
    program: Program, terms: Iterable[Term], names: Iterable[str], fraction: float, key: jax.Array
) -> Part:
    """Returns a random part of the outermost plate whose rows can be chosen.

    :param program: on the whole batch.
    :param terms: its terms.
    :param names: the sites that learn: every term that depends on them lies in the plate.
    :param fraction: how much of the plate, in (0, 1).
    :param key: a PRNG key for the choice.
    :raises NotImplementedError: if there is no such plate.
    """
    names = frozenset(names)
    common = frozenset.intersection(
        *(frames_of(program.guide_trace[n]) for n in names),
        *(term.frames for term in terms if term.deps & names),
    )
    leaves, tree = jax.tree.flatten((program.args, program.kwargs))
    for plate, _ in sorted(common, key=lambda frame: frame[1]):
        site = program.guide_trace[plate]
        size, whole = site["args"][0], len(site["value"])
        count = max(1, round(fraction * whole))
        key_args, key_rows = jax.random.split(key)
        chosen = jax.random.choice(key_args, whole, (count,), replace=False)
        cut = [leaf[chosen] if _has_rows(leaf, whole) else leaf for leaf in leaves]
        rows = {}
        if size != whole:
            rows = {plate: jax.random.choice(key_rows, size, (count,), replace=False)}
        if rows or any(_has_rows(leaf, whole) for leaf in leaves):
            args, kwargs = jax.tree.unflatten(tree, cut)
            return Part(args, kwargs, rows, plate, count, whole)
    inside = ", ".join(repr(frame[0]) for frame in common) or "none"
    raise NotImplementedError(
        f"variance_fraction takes rows of a plate around the sites {', '.join(sorted(names))} and "
        f"all that depends on them. Such plates: {inside}; none of them subsamples, and no "
        "argument of the model has its length as first axis. Pass the data as an argument, or use "
        "variance_every"
    )


@contextmanager
def on_rows(part: Part) -> Iterator[None]:
    """Explains what fails while a program runs on the part."""
    try:
        yield
    except (TypeError, ValueError) as error:
        error.add_note(
            f"This was raised while the program ran on {part.size} of the {part.whole} rows of "
            f"plate {part.plate!r}, for variance_fraction: every argument whose first axis has the "
            "plate's length was cut. A program that has that length elsewhere can use "
            "variance_every instead."
        )
        raise


def weight(part: Part, whole: Program, on_part: Program, name: str) -> jax.Array:
    """Returns the factor that makes a gradient of V on the part one on the whole.

    Costs carry the scale of their site, which may follow the number of rows; V has its square.

    :param name: a site that learns.
    """
    frames = on_part.guide_trace[name]["cond_indep_stack"]
    size = next(frame.size for frame in frames if frame.name == part.plate)
    if size != part.size:
        raise ValueError(
            f"variance_fraction: plate {part.plate!r} has {size} rows on {part.size} rows of the "
            "arguments; its length must be theirs. Or use variance_every"
        )
    ratio = _scale(on_part, name) / _scale(whole, name)
    return part.whole / part.size / ratio**2


def _scale(program: Program, name: str) -> Any:
    scale = program.guide_trace[name]["scale"]
    if jnp.ndim(scale if scale is not None else 1.0):
        raise NotImplementedError(
            f"variance_fraction: the scale of site {name!r} is an array of shape "
            f"{jnp.shape(scale)}; use one number, or variance_every"
        )
    return 1.0 if scale is None else scale


def _has_rows(leaf: Any, whole: int) -> bool:
    return isinstance(leaf, jax.Array | np.ndarray) and leaf.shape[:1] == (whole,)
