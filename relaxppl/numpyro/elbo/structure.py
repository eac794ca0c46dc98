"""What depends on what in a model and its guide, found by the host's provenance tracking."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
from numpyro import handlers
from numpyro.infer.util import get_importance_trace
from numpyro.ops.provenance import eval_provenance

from relaxppl.estimators.laws import Law
from relaxppl.numpyro.elbo.laws import base_of, law_type

_PARAMS = "relaxppl parameters"

Deps = Mapping[str, frozenset[str]]


@dataclass(frozen=True)
class Structure:
    """Dependencies on the guide's latent sites, transitive, by site.

    A site of the guide that is reparameterised hands on what it depends on itself.
    """

    model_terms: Deps
    """What each log density of the model depends on."""
    guide_terms: Deps
    """What each log density of the guide depends on: for a latent site, itself too."""
    model_laws: Deps
    """What the parameters of each law of the model depend on."""
    guide_laws: Deps
    """What the parameters of each law of the guide depend on."""
    discrete: tuple[str, ...]
    """The guide's latent sites without a reparameterised sampler, in the guide's order."""
    laws: Mapping[str, tuple[type[Law] | None, str]]
    """For each discrete site the law that the estimators know it by, and its class's name."""
    choices: Mapping[str, str | None]
    """The estimator that each discrete site's infer dict asks for."""

    def levels(self, group: frozenset[str]) -> list[tuple[str, ...]]:
        """Returns the sites of a group by level: none in a level depends on another in it."""
        level: dict[str, int] = {}
        for name in self.discrete:
            if name in group:
                above = (level[s] for s in self.guide_laws[name] & group if s != name)
                level[name] = 1 + max(above, default=0)
        depth = max(level.values(), default=0)
        return [tuple(n for n in level if level[n] == k) for k in range(1, depth + 1)]

    def downstream(self, names: frozenset[str]) -> frozenset[str]:
        """Returns the guide's sites whose law depends on one of the named sites."""
        return frozenset(s for s, deps in self.guide_laws.items() if deps & names)


def analyse(
    model: Callable[..., Any],
    guide: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    params: dict[str, Any],
) -> Structure:
    """Runs the program once on abstract values and returns its structure.

    :param model: the model, not seeded.
    :param guide: the guide, not seeded.
    :param params: the parameters by name.
    """
    found: dict[str, Any] = {"laws": {}, "choices": {}}

    def latents() -> dict[str, jax.Array]:
        seeded = handlers.seed(handlers.substitute(guide, data=params), rng_seed=0)
        trace = handlers.trace(seeded).get_trace(*args, **kwargs)
        sites = {n: s for n, s in trace.items() if _is_latent(s)}
        found["discrete"] = tuple(n for n, s in sites.items() if not s["fn"].has_rsample)
        for n in found["discrete"]:
            fn = sites[n]["fn"]
            found["choices"][n] = sites[n]["infer"].get("estimator")
            found["laws"][n] = (law_type(fn), type(base_of(fn)).__name__)
        return {n: s["value"] for n, s in sites.items()}

    values = jax.eval_shape(latents)

    def program(**inputs: Any) -> Any:
        own = inputs.pop(_PARAMS)

        def tag(data: dict[str, jax.Array], msg: dict[str, Any]) -> jax.Array | None:
            if msg["type"] != "sample" or msg["is_observed"] or msg["name"] not in data:
                return None
            # A value hands on where its law's parameters came from, and adds itself.
            return 0 * msg["fn"](*msg["args"], **msg["kwargs"]) + data[msg["name"]]

        subs = partial(tag, inputs)
        model_trace, guide_trace = get_importance_trace(
            handlers.seed(model, rng_seed=0),
            handlers.substitute(handlers.seed(guide, rng_seed=0), substitute_fn=subs),
            args,
            kwargs,
            own,
        )
        out = []
        for trace in (model_trace, guide_trace):
            sites = {n: s for n, s in trace.items() if s["type"] == "sample"}
            out.append({n: s["log_prob"] for n, s in sites.items()})
            out.append({n: jax.tree.leaves(s["fn"]) for n, s in sites.items()})
        return out

    model_terms, model_laws, guide_terms, guide_laws = eval_provenance(
        program, **values, **{_PARAMS: params}
    )
    return Structure(
        model_terms=_union(model_terms),
        guide_terms=_union(guide_terms),
        model_laws=_union(model_laws),
        guide_laws=_union(guide_laws),
        **found,
    )


def _is_latent(site: dict[str, Any]) -> bool:
    return site["type"] == "sample" and not site.get("is_observed", False)


def _union(deps: dict[str, Any]) -> dict[str, frozenset[str]]:
    is_leaf = lambda d: isinstance(d, frozenset)  # noqa: E731
    return {
        name: frozenset().union(*jax.tree.leaves(tree, is_leaf=is_leaf)) - {_PARAMS}
        for name, tree in deps.items()
    }
