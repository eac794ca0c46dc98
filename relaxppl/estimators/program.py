"""A program as the estimators see it: the bound's terms, and runs at other values.

A host runs models and guides and hands out what is here; nothing else of it is known to the
estimators.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from relaxppl import ops
from relaxppl.estimators.laws import Law
from relaxppl.estimators.site import Frames, Names, Site
from relaxppl.ops import Array

SoftValue = Callable[[str, Law | None], Array | None]
"""From a discrete site and its law at relaxed values above it to its relaxed value there, or to
None where it has none."""


@dataclass(frozen=True)
class Term:
    """One summand of the bound: a model site's log p, a guide site's -log q, or minus their KL."""

    name: str
    value: Array
    """Scaled and masked, (*batch_shape)."""
    frames: Frames
    deps: Names
    """The discrete sites of the guide that it depends on."""
    guide: bool = False
    jumps: Names = frozenset()
    """The sites, of those that it depends on, whose effect a derivative does not see."""
    integrated: bool = False
    """Whether it is the KL of a site."""
    latent: bool = True
    """Whether it depends on any latent site, discrete or not, as far as that is known."""
    left: Mapping[str, Frames] = field(default_factory=dict)
    """By site the plates that the dependence on it leaves on its way, if there are any."""


class Program(Protocol):
    """A model and a guide after one run at hard values."""

    @property
    def sites(self) -> Mapping[str, Site]:
        """The guide's discrete sites, in its order."""

    @property
    def terms(self) -> Sequence[Term]:
        """All summands of the bound at the values drawn."""

    @property
    def factors(self) -> Mapping[str, Array]:
        """By site the factor of its exact KL, where that is learned."""

    def log_ratio(self, name: str, encoded: Array) -> Array:
        """Returns log p - log q of a site alone at an encoded value, hard or relaxed.

        It is scaled and masked as its terms are, (*batch_shape), the laws as they were drawn.
        """

    def downstream(self, names: Names) -> Names:
        """Returns the guide's other sites whose law depends on some discrete sites."""

    def evaluate(
        self,
        at: Mapping[str, Array],
        soft_value: SoftValue | None = None,
        keep: Callable[[Term], bool] = ...,
    ) -> Sequence[Term]:
        """Returns the wanted terms that depend on some sites, at other values of these.

        :param at: values of sites; one that depends on another has its value all the same.
        :param soft_value: gives the discrete sites downstream their values; one to which it gives
            None keeps its own. Without it they are drawn again, with the noise of the first run,
            and nothing is differentiated.
        :param keep: whether a term is wanted.
        """

    def each(self, compute: Callable[[dict[str, Array]], Array], values: dict[str, Array]) -> Array:
        """Returns what a function that evaluates the program makes of each of several values.

        :param compute: from values of sites to an array, which is not differentiated.
        :param values: the same with one more axis on the left.
        :returns: what it makes of each, along a first axis.
        """

    def noise(self, kind: str, shape: tuple[int, ...], site: Site, use: int) -> Array:
        """Returns standard noise of a law, apart for each site and use."""

    def explained(self, level: tuple[str, ...]) -> AbstractContextManager[None]:
        """Explains what fails while the program runs at relaxed values of some sites."""


class Learned(Protocol):
    """The parameters that the estimators learn, during one step.

    What is read carries no gradient; gradients are handed back by :meth:`learn` and reach the
    parameters alone.
    """

    def read(self, name: str, initial: float, like: Array, positive: bool = False) -> Array:
        """Returns a learned scalar of the dtype of ``like``, ()."""

    def constant(self, value: float, like: Array) -> Array:
        """Returns a scalar that is not learned, ()."""

    def network(self, prefix: str, features: int, hidden: int, like: Array) -> dict[str, Array]:
        """Returns the parameters of a default network by their short names."""

    def average(self, name: str, cost: Array, decay: float) -> Array:
        """Returns the decaying average of a cost before this step, and adds this step's to it."""

    def steps(self) -> Any:
        """Returns how many steps the optimiser has taken, a number or an array.

        :raises ValueError: if nothing counts them.
        """

    def learn(self, name: str, gradient: Array) -> None:
        """Adds to the gradient of a parameter."""

    def cond(self, wanted: Any, full: Callable[[], Any], cheap: Callable[[], Any]) -> Any:
        """Returns what one of two functions returns, by a flag that may be traced."""


def log_ratio_of(program: Program, name: str) -> Callable[[Array], Array]:
    """Returns :meth:`Program.log_ratio` of a site."""
    return functools.partial(program.log_ratio, name)


def depending(terms: Iterable[Term], name: str) -> list[Term]:
    """Returns the terms that depend on a site, each in the plates that keep its elements apart."""
    found = [term for term in terms if name in term.deps]
    return [
        replace(term, frames=term.frames - term.left[name]) if name in term.left else term
        for term in found
    ]


def reduce_to(terms: Iterable[Term], frames: Frames, like: Array) -> Array:
    """Returns the sum of terms for each element of some plates; every other dimension is summed.

    :param like: an array of the backend, for a sum of nothing.
    :returns: an array that broadcasts with a batch in these plates.
    """
    result: Any = None
    for term in terms:
        value = term.value
        kept = {frame.dim for frame in term.frames if frame in frames}
        shape = tuple(value.shape)
        out = tuple(d for d in range(-len(shape), 0) if d not in kept and shape[d] != 1)
        if out:
            value = ops.sum(value, axis=out, keepdims=True)
        shape = tuple(value.shape)
        while shape and shape[0] == 1:
            shape = shape[1:]
        value = value.reshape(shape)
        result = value if result is None else result + value
    return zero(like) if result is None else result


def zero(like: Array) -> Array:
    """Returns zero, (), of an array's kind."""
    empty = like.reshape((-1,))[:0]
    return ops.sum(empty, axis=0)


def reward(program: Program, site: Site) -> Array:
    """Returns the sum of the terms that depend on a site, broadcasting with its batch."""
    terms = depending(program.terms, site.name)
    return ops.stop_gradient(reduce_to(terms, site.frames, program.terms[0].value))


def levels(sites: Mapping[str, Site], names: Iterable[str]) -> list[tuple[str, ...]]:
    """Returns some of the sites by level: those of one level do not depend on each other.

    :param sites: all sites, in the order in which they were drawn.
    :param names: the sites wanted; the others do not count for a level.
    """
    level: dict[str, int] = {}
    wanted = set(names)
    for name, site in sites.items():
        if name in wanted:
            above = (level[u] for u in site.upstream if u in level and u != name)
            level[name] = 1 + max(above, default=0)
    depth = max(level.values(), default=0)
    return [tuple(n for n in level if level[n] == k) for k in range(1, depth + 1)]
