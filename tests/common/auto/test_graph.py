"""In which order a dependent guide draws a model's sites, and given which others."""

from __future__ import annotations

import numpy as np
import pytest

from relaxppl.common.auto.graph import Factor, Node, ordered

NONE: frozenset[str] = frozenset()


def links(
    nodes: dict[str, Node], *factors: tuple[str, str]
) -> dict[str, tuple[set[str], set[str]]]:
    """By site, in the order of drawing, its parents and its local plates."""
    made = [
        Factor(frozenset(sites.split()), frozenset(plates.split())) for sites, plates in factors
    ]
    return {link.name: (set(link.parents), set(link.local)) for link in ordered(nodes, made)}


def discrete(plates: str = "") -> Node:
    return Node(frozenset(plates.split()), True)


def continuous(plates: str = "") -> Node:
    return Node(frozenset(plates.split()), False)


def test_a_chain_keeps_its_neighbours() -> None:
    nodes = {f"z{t}": discrete() for t in range(4)}
    factors = [("z0", "")] + [(f"z{t} z{t + 1}", "") for t in range(3)]
    found = links(nodes, *factors, *((f"z{t}", "") for t in range(4)))
    assert found == {
        "z0": (set(), set()), "z1": ({"z0"}, set()), "z2": ({"z1"}, set()), "z3": ({"z2"}, set()),
    }  # fmt: skip


def test_plates_stay_apart_given_what_they_share() -> None:
    # A mixture: the means are shared, the components of the rows independent given them.
    nodes = {"mu": continuous("k"), "z": discrete("rows")}
    found = links(nodes, ("mu", "k"), ("z", "rows"), ("z mu", "rows"))
    assert found == {"mu": (set(), set()), "z": ({"mu"}, {"rows"})}
    assert list(found) == ["mu", "z"]
    # A regression: the flags of its features meet in one likelihood, and their coefficients too.
    nodes = {"noise": continuous(), "w": continuous("f"), "flag": discrete("f")}
    found = links(nodes, ("noise", ""), ("w", "f"), ("flag", "f"), ("noise w flag", "rows"))
    assert list(found) == ["flag", "noise", "w"]
    assert found["w"] == ({"flag", "noise"}, set())
    # Rows against columns: what one side is summed out for couples all of the other.
    nodes = {"u": discrete("a"), "v": discrete("b")}
    found = links(nodes, ("u", "a"), ("v", "b"), ("u v", "a b"))
    assert found == {"u": (set(), set()), "v": ({"u"}, {"b"})}


@pytest.mark.parametrize("seed", range(4))
def test_what_a_site_is_given_suffices(seed: int) -> None:
    rng = np.random.default_rng(seed)
    names = [f"z{i}" for i in range(7)]
    scopes = [tuple(sorted(rng.choice(7, size=int(n), replace=False))) for n in (1, 2, 2, 3, 2, 2)]
    joint = np.ones((2,) * 7)
    for scope in scopes:
        shape = [2 if i in scope else 1 for i in range(7)]
        joint = joint * rng.gamma(0.5, size=shape)
    joint /= joint.sum()
    order = ordered(
        {n: discrete() for n in names},
        [Factor(frozenset(names[i] for i in scope), NONE) for scope in scopes],
    )
    product = np.ones_like(joint)
    for link in order:
        own = {names.index(n) for n in (link.name, *link.parents)}
        both_of = joint.sum(axis=tuple(set(range(7)) - own), keepdims=True)
        product = product * both_of / both_of.sum(axis=names.index(link.name), keepdims=True)
    np.testing.assert_allclose(product, joint, atol=1e-12)
