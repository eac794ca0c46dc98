"""A check of a program's dependencies that needs no tracking: other values, and what changes.

What computes outside torch and hands no number over by a torch call, such as a compiled extension
that reads memory, is seen by no tracker. The terms that it makes still change with the values.
"""

from __future__ import annotations

from typing import Any

import torch

from relaxppl.estimators.laws import Bernoulli
from relaxppl.estimators.program import Term
from relaxppl.estimators.site import Site
from relaxppl.pyro.elbo.program import Program
from relaxppl.pyro.random_state import rewound, rng_state

Terms = dict[tuple[bool, str], Term]


def verify(program: Program) -> None:
    """Evaluates a program at another value of each discrete site, all else and all noise the same.

    :param program: after its first run.
    :raises RuntimeError: if a term changes that was found not to depend on the site, naming both.
    """
    state = rng_state()
    for name, site in program.sites.items():
        if site.value.is_meta:  # There are no values to compare.
            continue
        with torch.no_grad(), rewound(state):
            other = _other(site)
        if other is None:
            continue
        try:
            before = _independent(program, name, site.value, state)
            after = _independent(program, name, other, state)
        except Exception:
            # Values that the guide never draws may be none that the program takes.
            continue
        changed = _changed(before, after)
        if changed:
            # Numbers from elsewhere, as a count of steps, change without any value's doing.
            changed -= _changed(before, _independent(program, name, site.value, state))
        if changed:
            guide, term = min(changed)
            raise RuntimeError(
                f"the {'guide' if guide else 'model'}'s term of site {term!r} changes with the "
                f"value of site {name!r}, but no operation of torch leads from one to the "
                "other: something outside torch, such as a compiled extension, or in another "
                "thread reads the value unseen, and gradients would be wrong. Hand it the "
                "value by item() or numpy(): every later term then counts as dependent on it"
            )


def _other(site: Site) -> torch.Tensor | None:
    """Returns another value of a site, or None if none is found."""
    if site.law is not None:
        if isinstance(site.law, Bernoulli):
            return 1 - site.value
        encoded = site.law.encode(site.value).roll(1, -1)
        return site.law.decode(encoded).to(site.value)
    for _ in range(4):
        value = site.fn.sample()
        if not torch.equal(value, site.value):
            return value
    return None


def _independent(program: Program, name: str, value: torch.Tensor, state: Any) -> Terms:
    """Returns the terms that are said not to depend on a site, at a value of it."""
    dependent = {(t.guide, t.name) for t in program.terms if name in t.deps}
    with torch.no_grad(), rewound(state):
        terms = program.everything({name: value})
    # What a run reaches that the first did not is there because of other values only.
    known = {(t.guide, t.name) for t in program.terms}
    keys = {(t.guide, t.name): t for t in terms}
    return {key: term for key, term in keys.items() if key in known - dependent}


def _changed(one: Terms, other: Terms) -> set[tuple[bool, str]]:
    keys = one.keys() | other.keys()
    return {key for key in keys if not _same(one.get(key), other.get(key))}


def _same(one: Term | None, other: Term | None) -> bool:
    if one is None or other is None:
        return False
    a, b = one.value, other.value
    return a.shape == b.shape and torch.allclose(a, b, rtol=1e-4, atol=1e-6, equal_nan=True)
