"""In which order a dependent guide draws a model's sites, and what each is drawn given.

A law p(z) proportional to a product of factors is drawn site by site, in any order, if each site is
given those earlier ones that it meets in a factor once all later ones are summed out. Summing out a
site merges the factors that it is in, so that what met it separately meets from then on: two causes
of one effect, two coefficients of one regression. The elements of a plate stay apart as long as
every factor that a site is in lies in the plate.

Koller & Friedman, 2009, Probabilistic graphical models, chapter 9 (variable elimination).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

Names = frozenset[str]


@dataclass(frozen=True)
class Node:
    """A latent site of a model.

    :param plates: the names of its plates.
    :param discrete: whether its values are.
    :param apart: whether it is to have no parents, and its elements laws of their own.
    :param first: whether it is drawn before those that are not, by another guide.
    """

    plates: Names
    discrete: bool
    apart: bool = False
    first: bool = False


@dataclass(frozen=True)
class Factor:
    """A term of a model's log density.

    :param sites: the latent sites that it depends on.
    :param plates: the names of the plates that it lies in.
    :param of: the site whose density it is, if it is that of one.
    """

    sites: Names
    plates: Names
    of: str = ""


@dataclass(frozen=True)
class Link:
    """A site in a guide's order.

    :param name: the site.
    :param parents: the earlier sites that it is given, in the guide's order.
    :param local: those of its plates whose elements are independent given the parents.
    """

    name: str
    parents: tuple[str, ...]
    local: Names


def ordered(nodes: Mapping[str, Node], factors: Iterable[Factor]) -> list[Link]:
    """Returns the sites in the order in which a guide draws them.

    Sites with fewer plates of their own come first, for the elements of a plate to be independent
    given what they share; among those the discrete ones, then the model's order.

    :param nodes: the latent sites, in the model's order.
    :param factors: of the model.
    """
    left = [f for f in factors if f.sites]
    index = {name: i for i, name in enumerate(nodes)}
    remaining, found = set(nodes), []
    while remaining:
        local = {name: _local(name, nodes[name], left) for name in remaining}
        last = max(
            remaining,
            key=lambda n: (not nodes[n].first, len(local[n]), not nodes[n].discrete, index[n]),
        )
        merged = [f for f in left if last in f.sites]
        others = frozenset().union(*(f.sites for f in merged)) - {last}
        if nodes[last].apart or nodes[last].first:
            found.append(Link(last, (), nodes[last].plates))
        else:
            found.append(Link(last, tuple(others), local[last]))
        left = [f for f in left if last not in f.sites]
        if others:
            left.append(Factor(others, local[last]))
        remaining.remove(last)
    found.reverse()
    place = {link.name: i for i, link in enumerate(found)}
    return [
        Link(link.name, tuple(sorted(link.parents, key=place.__getitem__)), link.local)
        for link in found
    ]


def _local(name: str, node: Node, factors: Iterable[Factor]) -> Names:
    local = node.plates
    for factor in factors:
        if name in factor.sites:
            local &= factor.plates
    return local
