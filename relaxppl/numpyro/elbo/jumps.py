"""What the terms of a program depend on in a way that no derivative sees, at relaxed values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
from numpyro.distributions import Delta

from relaxppl.estimators.jumps import by_jumps, jumps, plain
from relaxppl.numpyro.elbo.laws import base_of
from relaxppl.numpyro.elbo.provenance import eval_provenance
from relaxppl.numpyro.elbo.structure import (
    SEEN,
    Deps,
    Structure,
    names_of,
    run_tagged,
    tagged_inputs,
)


def with_jumps(
    structure: Structure,
    relaxed: frozenset[str],
    model: Callable[..., Any],
    guide: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    params: dict[str, Any],
) -> Structure:
    """Returns a program's structure with what its terms depend on by jumps.

    The program runs once more on abstract values, which are floats where it will be relaxed: an
    integer made of a float is then an operation.

    :param relaxed: the sites that the program will run at relaxed values of.
    """
    values = {
        n: jax.ShapeDtypeStruct(x.shape, jnp.result_type(float)) if n in relaxed else x
        for n, x in structure.values.items()
    }

    def program(**inputs: Any) -> Any:
        model_run, guide_run = run_tagged(
            structure.summing(model), guide, args, kwargs, inputs, structure.discrete
        )
        found = []
        for log_probs, trace in (model_run, guide_run):
            sites = {n: s for n, s in trace.items() if s["type"] == "sample"}
            found.append({n: _seen_by(s, log_probs[n]) for n, s in sites.items()})
            found.append({n: _edges(s["fn"]) for n, s in sites.items()})
        laws = {n: jax.tree.leaves(s["fn"]) for n, s in sites.items()}
        return (*found, laws)

    try:
        *found, of_laws = eval_provenance(program, **tagged_inputs(values, params))
    except Exception:  # It cannot run there, and the estimators say so; nothing is taken as smooth.
        return replace(structure, jumps=_merged(structure.model_terms, structure.guide_terms))
    laws = {name: jumps(names) for name, names in names_of(of_laws).items()}
    of_model, edges_of_model, of_guide, edges_of_guide = map(names_of, found)
    in_model, in_guide = {}, {}
    for name, names in of_model.items():
        names |= by_jumps(edges_of_model[name])
        sees = {d.removeprefix(SEEN) for d in plain(names)}
        own = {d.removeprefix(SEEN) for d in jumps(names)}
        in_model[name] = frozenset(own).union(*(laws[d] for d in sees if d in laws))
    for name, names in of_guide.items():
        in_guide[name] = jumps(names | by_jumps(edges_of_guide[name]))
    return replace(structure, jumps=_merged(in_model, in_guide))


def _seen_by(site: dict[str, Any], log_prob: jax.Array) -> list[Any]:
    """Returns what a site's term is a function of without jumps.

    That is its value and the law's parameters, mask and scale: the densities of the host and of
    this library have none, though their code compares to stay off infinities.
    """
    seen = [*jax.tree.leaves(site["fn"]), *jax.tree.leaves(site["scale"]), site["value"]]
    law = base_of(site["fn"])
    known = type(law).__module__.partition(".")[0] in ("numpyro", "relaxppl")
    return seen if known and not isinstance(law, Delta) else [*seen, log_prob]


def _edges(fn: Any) -> list[Any]:
    """Returns where a law's support ends, if its parameters say so: the density jumps there."""
    return [x for x in jax.tree.leaves(fn.support) if isinstance(x, jax.Array)]


def _merged(*each: Deps) -> Deps:
    names = frozenset().union(*each)
    return {n: frozenset().union(*(deps.get(n, ()) for deps in each)) for n in names}
