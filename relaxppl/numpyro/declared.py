"""What the programs of a guide and a model declare, read off one run."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from numpyro import handlers
from numpyro.distributions import constraints
from numpyro.distributions.transforms import biject_to

from relaxppl.common.diagnostics import check_params
from relaxppl.common.naming import is_learned
from relaxppl.numpyro.state import StateOf, warn

Tree = dict[str, Any]


class Declared:
    """What a guide and a model declare: parameters, mutable state, and their values.

    :param model: the model, not seeded.
    :param guide: the guide, not seeded; prepared, if the ELBO has parameters of its own.
    :param params: constrained values by name, as of ``SVI.get_params``; None for the initial ones.
    :param args: positional arguments of both.
    :param kwargs: keyword arguments of both.
    :param rng_key: for initial values.
    :raises ValueError: if params does not fit.
    """

    def __init__(
        self,
        model: Callable[..., Any],
        guide: Callable[..., Any],
        params: Tree | None,
        args: tuple[Any, ...],
        kwargs: Tree,
        rng_key: jax.Array,
    ) -> None:
        given = {} if params is None else dict(params)
        keys = jax.random.split(rng_key)
        constraint_of: dict[str, Any] = {}
        discrete: list[str] = []

        states = [StateOf(fn, given) for fn in (guide, model)]

        def run() -> tuple[Tree, Tree]:
            with handlers.block():
                seeded = handlers.seed(handlers.substitute(states[0], data=given), keys[0])
                guide_trace = handlers.trace(seeded).get_trace(*args, **kwargs)
                seeded = handlers.substitute(handlers.seed(states[1], keys[1]), data=given)
                replayed = handlers.replay(seeded, guide_trace)
                model_trace = handlers.trace(replayed).get_trace(*args, **kwargs)
            discrete[:] = [
                n
                for n, s in guide_trace.items()
                if s["type"] == "sample" and not s["is_observed"] and not s["fn"].has_rsample
            ]
            sites = {**model_trace, **guide_trace}
            declared = {n: s for n, s in sites.items() if s["type"] == "param"}
            for n, s in declared.items():
                constraint_of[n] = s["kwargs"].get("constraint", constraints.real)
            state = {n: s["value"] for n, s in sites.items() if s["type"] == "mutable"}
            return {n: s["value"] for n, s in declared.items()}, state

        values, self.state = _compiled(run, constraint_of)
        if params is not None:
            warn(states, lambda name: not is_learned(name))
            # Substituted values hide the shapes that the program itself would declare.
            own = jax.eval_shape(partial(_declared, model, guide, args, kwargs))
            check_params(_shapes(given), {n: x.shape for n, x in own.items()})
        self.discrete = discrete
        self.transforms = {n: biject_to(constraint_of[n]) for n in values}
        free = {
            n: x if _is_tree(x) else self.transforms[n].inv(jnp.asarray(x))
            for n, x in values.items()
        }
        self.params = {n: x for n, x in values.items() if not is_learned(n)}
        self.program_state = {n: x for n, x in self.state.items() if not is_learned(n)}
        """The program's own state, not that of an ELBO."""
        self.program = {n: x for n, x in free.items() if not is_learned(n)}
        self.learned = {n: x for n, x in free.items() if is_learned(n)}
        self.fresh = [n for n in self.learned if n not in given]
        """The ELBO's own parameters and state that the caller did not give."""
        self.fresh += [n for n in self.state if n not in given]

    def constrained(self, free: Tree) -> Tree:
        """Returns parameters in the program's coordinates."""
        return {n: x if _is_tree(x) else self.transforms[n](x) for n, x in free.items()}


def _compiled(run: Callable[[], Any], constraint_of: dict[str, Any]) -> Any:
    """Returns what a run of the programs declares, without the cost of all that it draws."""
    try:
        found = jax.jit(run)()
        leaves = jax.tree.leaves(list(constraint_of.values()))
        if not any(isinstance(x, jax.core.Tracer) for x in leaves):
            return found
    except Exception:
        # A module's leaf that is no array, or a Python if: such programs run as they are.
        pass
    return run()


def _declared(model: Any, guide: Any, args: tuple[Any, ...], kwargs: Tree) -> Tree:
    found = {}
    for fn in (model, guide):
        trace = handlers.trace(handlers.seed(fn, rng_seed=0)).get_trace(*args, **kwargs)
        sites = {n: s["value"] for n, s in trace.items() if s["type"] == "param"}
        found.update({n: x for n, x in sites.items() if not _is_tree(x)})
    return found


def _is_tree(value: Any) -> bool:
    return not jax.tree_util.treedef_is_leaf(jax.tree.structure(value))


def _shapes(params: Tree) -> dict[str, tuple[int, ...]]:
    return {n: jnp.shape(x) for n, x in params.items() if not _is_tree(x)}
