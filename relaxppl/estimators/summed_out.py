"""Sites of the model alone that are summed out: one term of the bound for all that depends on them.

Such a site holds all its values at once, along a dimension of its own left of the plates. With S a
set of such sites and f the log densities that see them, their term is

    log sum_S exp(sum f),

computed a site at a time: the sites in most plates first, and before one is summed what sees it is
multiplied over the plates that it does not lie in. Obermeyer et al., 2019 (arXiv:1902.03210).
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from relaxppl import ops
from relaxppl.estimators.site import Frames
from relaxppl.estimators.ways_out import SUMMED
from relaxppl.ops import Array

_MOST_DIMENSIONS = 60
"""Torch and NumPy have 64; events, and what a model indexes by a value, need some."""
PARALLEL = "parallel"
"""What a site's ``infer["enumerate"]`` says for it to be summed out here."""


class Variable(NamedTuple):
    """A site that is summed out."""

    name: str
    dim: int
    """Where its values lie, counted from the right of the batch, negative."""
    frames: Frames


class Factor(NamedTuple):
    """The log density of a site of the model, at all values of what is summed out."""

    name: str
    value: Array
    """Masked, but not scaled, (*values, *batch_shape)."""
    frames: Frames
    scale: Any
    """What multiplies it in the bound."""


class Group(NamedTuple):
    """Sites of the model that are one term of the bound."""

    sites: tuple[str, ...]
    """Those whose log densities make it up, in the model's order."""
    variables: tuple[Variable, ...]
    """Those of them that are summed out."""

    @property
    def others(self) -> tuple[str, ...]:
        """Those that are not summed out."""
        summed = {variable.name for variable in self.variables}
        return tuple(name for name in self.sites if name not in summed)

    @property
    def outermost(self) -> Variable:
        """The variable that is summed last: its plates are those of the term."""
        return min(self.variables, key=lambda variable: len(variable.frames))


def refusal(site: str, why: str) -> NotImplementedError:
    """Returns the error for a site that cannot be summed out.

    :param why: what is in the way.
    """
    return NotImplementedError(
        f"{site!r}: infer={{'enumerate': ...}} asks to sum this out and the guide has no such "
        f"site, but {why}. Take TraceEnum_ELBO if it can sum it; or give the guide a "
        f"site of this name, whose gradient {SUMMED} sums over its "
        "values; or drop the mark, if a draw from the prior is what you want"
    )


def check_law(name: str, fn: Any, frames: Frames, infer: Mapping[str, Any], first: int) -> None:
    """Refuses a marked site whose values cannot be laid along one dimension.

    :param name: the site.
    :param fn: the host's distribution.
    :param frames: its plates.
    :param infer: what the site says of its inference.
    :param first: the rightmost dimension that values lie along.
    :raises NotImplementedError: naming the site and what is in the way.
    """
    mark = infer["enumerate"]
    if mark != PARALLEL:
        raise refusal(name, f"{mark!r} is not 'parallel', the one way that sites are summed here")
    if infer.get("num_samples") is not None:
        raise refusal(name, "num_samples asks for draws of it in place of all values")
    if not fn.has_enumerate_support:
        raise refusal(name, f"a {type(fn).__name__} has no finite list of values")
    plates = {frame.dim for frame in frames}
    shape = tuple(fn.batch_shape)
    if any(_along(shape, d) > 1 and d not in plates for d in range(first + 1, 0)):
        raise refusal(name, "it has a batch dimension that no plate declares independent")


def is_marked(site: Mapping[str, Any], guide: Collection[str]) -> bool:
    """Returns whether a site of a model is latent there alone, and marked to be summed out.

    :param site: the host's message or node.
    :param guide: the names of the guide's sites.
    """
    return bool(
        site["type"] == "sample"
        and not site["is_observed"]
        and site["name"] not in guide
        and site["infer"].get("enumerate")
    )


def all_values(
    site: Mapping[str, Any], frames: Frames, first: int, found: dict[str, Variable]
) -> Array:
    """Returns the values of a marked site along a dimension of its own, (S, 1, ..., 1, *event).

    :param site: the host's message.
    :param frames: its plates.
    :param first: the rightmost dimension that is free for values.
    :param found: the sites by name, to which it is added where it is new.
    :raises NotImplementedError: naming the site, if it cannot be summed out.
    """
    name, fn = site["name"], site["fn"]
    if name not in found:
        check_law(name, fn, frames, site["infer"], first)
        if len(found) - first > _MOST_DIMENSIONS:
            raise refusal(
                name,
                f"its values would lie along dimension {len(found) - first} from the right, since "
                f"{len(found)} sites are summed out before it, and arrays have few more than "
                f"{_MOST_DIMENSIONS} (the states of a long series are one site of the model as a "
                "MarkovChain, or drawn together by AutoDiscrete(model, structure='chain') once the "
                "marks are dropped)",
            )
        found[name] = Variable(name, first - len(found), frames)
    try:
        values = fn.enumerate_support(expand=False)
    except NotImplementedError as error:
        raise refusal(name, f"a {type(fn).__name__} has no finite list of values") from error
    shape = tuple(values.shape)
    event = shape[len(shape) - fn.event_dim :]
    return values.reshape((shape[0], *(1,) * (-found[name].dim - 1), *event))


def check_shapes(
    drawn: Mapping[str, tuple[int, ...]],
    summed: Mapping[str, tuple[int, ...]],
    variables: Iterable[Variable],
    first: int,
) -> None:
    """Refuses a model that does not hand on the dimensions of the values where they are.

    :param drawn: by site of the model the batch shape where all is drawn.
    :param summed: the same at all values of what is summed out.
    :param variables: the sites that are summed out.
    :param first: the rightmost dimension that values lie along.
    """
    for name in drawn.keys() & summed.keys():
        batch = [tuple(_along(x[name], d) for d in range(first + 1, 0)) for x in (drawn, summed)]
        if batch[0] != batch[1]:
            raise refusal(
                next(iter(variables)).name,
                f"{name!r} has the batch shape {drawn[name]} at one value and {summed[name]} at "
                "all: what the model computes of it must leave the dimensions left of the plates "
                "alone, and see the elements of its plate one by one",
            )


def groups(shapes: Mapping[str, tuple[int, ...]], variables: Iterable[Variable]) -> list[Group]:
    """Returns which sites of a model make one term: those that share what is summed out.

    :param shapes: by site of the model the shape of its log density, in the model's order.
    :param variables: the sites that are summed out.
    """
    found: list[tuple[set[str], set[Variable]]] = []
    known = list(variables)
    for name, shape in shapes.items():
        seen = {v for v in known if _along(shape, v.dim) > 1}
        if not seen:
            continue
        touched = [group for group in found if group[1] & seen]
        found = [group for group in found if group not in touched]
        names = {name}.union(*(group[0] for group in touched))
        found.append((names, seen.union(*(group[1] for group in touched))))
    return [
        Group(tuple(n for n in shapes if n in names), tuple(v for v in known if v in seen))
        for names, seen in found
    ]


def contract(group: Group, factors: Sequence[Factor]) -> Array:
    """Returns a group's term of the bound, scaled, (*batch_shape) of its outermost site.

    :param factors: its sites'.
    :raises NotImplementedError: naming a site, where the plates or the scales leave no such term.
    """
    scale = _common_scale(group, factors)
    sizes: dict[int, int] = {}
    for factor in factors:
        for frame in factor.frames:
            size = _along(tuple(factor.value.shape), frame.dim)
            sizes[frame.dim] = max(size, sizes.get(frame.dim, 1))
    left, pool = list(group.variables), list(factors)
    while left:
        variable = _next(left, pool)
        left.remove(variable)
        seen = [f for f in pool if _along(tuple(f.value.shape), variable.dim) > 1]
        pool = [f for f in pool if _along(tuple(f.value.shape), variable.dim) <= 1]
        total: Any = 0.0
        for factor in seen:
            total = total + _within(factor, variable, left, sizes)
        total = ops.logsumexp(total, axis=variable.dim)
        # The dimension stays, so that all others keep their places.
        shape = tuple(total.shape)
        cut = len(shape) + 1 + variable.dim
        total = total.reshape((*shape[:cut], 1, *shape[cut:]))
        pool.append(Factor(variable.name, total, variable.frames, scale))
    whole: Any = 0.0
    for factor in pool:
        whole = whole + factor.value
    shape = tuple(whole.shape)
    inner = max((-frame.dim for frame in group.outermost.frames), default=0)
    return scale * whole.reshape(shape[len(shape) - inner :])


def _along(shape: tuple[int, ...], dim: int) -> int:
    return shape[dim] if -dim <= len(shape) else 1


def _next(left: Sequence[Variable], pool: Sequence[Factor]) -> Variable:
    """Returns the variable to sum next: of those in most plates that whose sum is smallest."""
    inner = [v for v in left if not any(v.frames < w.frames for w in left)]

    def work(variable: Variable) -> int:
        shapes = [tuple(f.value.shape) for f in pool]
        shapes = [s for s in shapes if _along(s, variable.dim) > 1]
        rank = max(map(len, shapes), default=0)
        return math.prod(max(_along(s, -d) for s in shapes) for d in range(1, rank + 1))

    return min(inner, key=work)


def _within(
    factor: Factor, variable: Variable, left: Sequence[Variable], sizes: Mapping[int, int]
) -> Array:
    """Returns a factor, multiplied over the plates that a variable does not lie in."""
    outside = variable.frames - factor.frames
    if outside:
        raise refusal(
            variable.name,
            f"{factor.name!r} sees it from outside of its plate "
            f"{min(frame.name for frame in outside)!r}, where its elements are not one by one",
        )
    over = factor.frames - variable.frames
    for other in left:
        if other.frames & over and _along(tuple(factor.value.shape), other.dim) > 1:
            raise refusal(
                variable.name,
                f"{factor.name!r} sees {other.name!r} too, which lies in another plate: their sum "
                "does not fall apart",
            )
    value = factor.value
    for frame in over:
        if _along(tuple(value.shape), frame.dim) > 1:
            value = ops.sum(value, axis=frame.dim, keepdims=True)
        else:
            value = sizes[frame.dim] * value
    return value


def _common_scale(group: Group, factors: Sequence[Factor]) -> Any:
    scales = [1.0 if factor.scale is None else factor.scale for factor in factors]
    if all(scale is scales[0] for scale in scales[1:]) and getattr(scales[0], "ndim", 0) == 0:
        return scales[0]
    if all(isinstance(scale, (int, float)) for scale in scales) and len(set(scales)) == 1:
        return scales[0]
    names = ", ".join(map(repr, group.sites))
    raise refusal(
        group.outermost.name,
        f"{names} are not all scaled by one number: the scale of a plate's subsample, say, must "
        "multiply the logarithm of their sum, so that all of them must lie in that plate",
    )
