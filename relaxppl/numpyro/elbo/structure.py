"""What depends on what in a model and its guide, found by the host's provenance tracking."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.errors import JAXTypeError
from numpyro import handlers
from numpyro.infer.util import compute_log_probs
from numpyro.primitives import Messenger

from relaxppl.common.sequences import sequence_type
from relaxppl.estimators.jumps import by_jumps, plain
from relaxppl.estimators.site import Candidate
from relaxppl.estimators.summed_out import Variable, check_shapes, is_marked, refusal
from relaxppl.estimators.ways_out import AT_HARD_VALUES
from relaxppl.numpyro.elbo.laws import base_of, count_type, law_type
from relaxppl.numpyro.elbo.provenance import eval_provenance
from relaxppl.numpyro.elbo.summed_out import SummedOut, first_free, shapes_of

_PARAMS = "relaxppl parameters"
SEEN = "relaxppl model: "
"""Before a site's name: its value as the model has it, not by way of the guide."""

Deps = Mapping[str, frozenset[str]]


def candidate_of(site: dict[str, Any]) -> Candidate:
    """Returns what decides the estimator of a discrete site."""
    fn, wanted = site["fn"], site["infer"].get("estimator")
    base = base_of(fn)
    return Candidate(
        site["name"],
        type(base).__name__,
        law_type(fn),
        wanted,
        counts=count_type(fn),
        sequence=sequence_type(base),
    )


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
    handed_over: frozenset[str]
    """The sites of which the guide leaves the model more than the values, in a closure say."""
    discrete: Mapping[str, Candidate]
    """The guide's latent sites without a reparameterised sampler, in the guide's order."""
    summed: Mapping[str, Variable]
    """The model's own sites that are marked to be summed out."""
    first: int
    """The rightmost dimension that is free for their values."""
    values: Mapping[str, Any]
    """Shapes and types of the guide's latent values."""
    jumps: Deps = field(default_factory=dict)
    """What the log density of a site, in the model or in the guide, depends on in a way that no
    derivative sees: the sites among those that will be relaxed."""

    def summing(self, model: Callable[..., Any]) -> Callable[..., Any]:
        """Returns the model with all values of the sites that are summed out at once."""
        if not self.summed:
            return model
        return SummedOut(model, self.guide_laws, self.first, dict(self.summed))

    def runs_guide(self, names: frozenset[str]) -> bool:
        """Returns whether the guide makes anything else of other values of the named sites."""
        # By a scale or a mask a term depends on sites that its law does not.
        others = any(deps & names - {name} for name, deps in self.guide_terms.items())
        return others or bool(self.handed_over & names)

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
    found: dict[str, Candidate] = {}

    def latents() -> dict[str, jax.Array]:
        checked = InputsOfAllSteps(handlers.substitute(guide, data=params))
        seeded = handlers.seed(checked, rng_seed=0)
        trace = handlers.trace(seeded).get_trace(*args, **kwargs)
        sites = {n: s for n, s in trace.items() if _is_latent(s)}
        for n, site in sites.items():
            if not site["fn"].has_rsample:
                found[n] = candidate_of(site)
        return {n: s["value"] for n, s in sites.items()}

    with _explained():
        values = jax.eval_shape(latents)
    summed: dict[str, Variable] = {}
    left: list[str] = []
    shapes: list[dict[str, tuple[int, ...]]] = []
    first = 0

    def program(**inputs: Any) -> Any:
        nonlocal first
        summing = SummedOut(model, values, first, summed) if first else model
        (log_p, model_trace), (log_q, guide_trace) = run_tagged(
            summing, guide, args, kwargs, inputs
        )
        sites = model_trace.values()
        left[:] = [s["name"] for s in sites if is_marked(s, values) and s["name"] not in summed]
        first = first or first_free([*sites, *guide_trace.values()])
        shapes.append(shapes_of(model_trace))
        out = []
        for trace, terms in ((model_trace, log_p), (guide_trace, log_q)):
            sites = {n: s for n, s in trace.items() if s["type"] == "sample"}
            out.append(terms)
            out.append({n: jax.tree.leaves(s["fn"]) for n, s in sites.items()})
        return out

    def found_in_program() -> Any:
        with _explained():
            return eval_provenance(program, **tagged_inputs(values, params))

    provenance = found_in_program()
    if left:
        # Where their values lie is known once all plates are.
        provenance = found_in_program()
        check_shapes(shapes[0], shapes[-1], summed.values(), first)
    if left:
        raise refusal(
            left[0], "it lies inside scan or another loop that runs its body out of sight"
        )
    found_terms, found_laws, guide_terms, guide_laws = provenance
    laws, model_terms = _union(guide_laws), _union(found_terms)
    return Structure(
        model_terms=_through(model_terms, laws),
        guide_terms=_union(guide_terms),
        model_laws=_through(_union(found_laws), laws),
        guide_laws=laws,
        handed_over=frozenset().union(*model_terms.values()) & values.keys(),
        # A site inside scan is one name for many draws.
        discrete={n: s._replace(recurrent=n in laws[n]) for n, s in found.items()},
        summed=summed,
        first=first,
        values=values,
    )


def run_tagged(
    model: Callable[..., Any],
    guide: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    inputs: dict[str, Any],
    by_law: Collection[str] = (),
) -> tuple[Any, Any]:
    """Returns the log densities and the traces of model and guide at tagged values.

    :param inputs: as :func:`tagged_inputs` has them.
    :param by_law: the sites whose value hands on what its law's parameters depend on, and not what
        its sampler makes of that.
    """
    own = inputs.pop(_PARAMS)
    apart = {n.removeprefix(SEEN): inputs.pop(n) for n in list(inputs) if n.startswith(SEEN)}

    def tag(data: dict[str, jax.Array], msg: dict[str, Any]) -> jax.Array | None:
        if msg["type"] != "sample" or msg["is_observed"] or msg["name"] not in data:
            return None
        # A value hands on where its law's parameters came from, and adds itself.
        if msg["name"] in by_law:
            sums = [jnp.sum(jnp.asarray(x)) for x in jax.tree.leaves(msg["fn"])]
            came = jnp.asarray(sum(sums)).astype(data[msg["name"]].dtype)
        else:
            came = msg["fn"](*msg["args"], **msg["kwargs"])
        return 0 * came + data[msg["name"]]

    tagged = handlers.substitute(
        handlers.seed(guide, rng_seed=0), substitute_fn=partial(tag, inputs)
    )
    log_q, guide_trace = compute_log_probs(tagged, args, kwargs, own, sum_log_prob=False)
    seen = {
        name: {**site, "value": apart[name]} if name in apart else site
        for name, site in guide_trace.items()
    }
    replayed = handlers.replay(handlers.seed(model, rng_seed=0), seen)
    log_p, model_trace = compute_log_probs(replayed, args, kwargs, own, sum_log_prob=False)
    return (log_p, model_trace), (log_q, guide_trace)


def tagged_inputs(values: Mapping[str, Any], params: dict[str, Any]) -> dict[str, Any]:
    """Returns what :func:`run_tagged` takes, each under the name that it is known by."""
    return {**values, **{SEEN + name: x for name, x in values.items()}, _PARAMS: params}


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except TypeError as error:
        # A dict's key is the one use of a traced value that Python refuses before JAX can.
        if isinstance(error, JAXTypeError) or "unhashable" in str(error):
            error.add_note(
                "The ELBO runs the model and the guide on traced values, as jax.jit does: a Python "
                "if or while, int(), float(), .item(), NumPy, or a Python list or dict cannot see "
                "what a site's value is, whichever estimator runs there. Write it with jnp.where, "
                "jax.lax.cond or jax.lax.switch, or index an array by it. A Python function can be "
                f"called as it is through jax.pure_callback, at sites with {AT_HARD_VALUES}."
            )
        raise


def is_scanned(site: dict[str, Any]) -> bool:
    """Returns whether a site of a trace lies inside scan, one name for many draws."""
    return "_scan_current_index" in site["infer"]


class InputsOfAllSteps(Messenger):
    """Refuses what a site inside scan gives its networks to see, if it is made in a step.

    The host hands out of a step no more than its sites' laws and values.
    """

    def process_message(self, msg: dict[str, Any]) -> None:
        if msg["type"] == "control_flow":
            msg["kwargs"]["substitute_stack"].append(("substitute", self._check))

    @staticmethod
    def _check(msg: dict[str, Any]) -> None:
        x, index = msg["infer"].get("estimator_input"), msg["infer"].get("_scan_current_index")
        if all(isinstance(y, jax.core.Tracer) for y in (x, index)) and x._trace is index._trace:
            raise NotImplementedError(
                f"site {msg['name']!r} lies inside scan and its 'estimator_input' is made in a "
                "step, out of which it cannot be taken. Give that of all steps in place of one's, "
                "an array (steps, *plates, features) that is made before scan"
            )


def _is_latent(site: dict[str, Any]) -> bool:
    return site["type"] == "sample" and not site.get("is_observed", False)


def _through(deps: Deps, laws: Deps) -> Deps:
    """Returns what terms of the model depend on by its own sites, with what those depend on."""
    sites = {name: {d.removeprefix(SEEN) for d in found} for name, found in deps.items()}
    return {name: frozenset(d).union(*(laws[s] for s in d)) for name, d in sites.items()}


def _union(deps: dict[str, Any]) -> dict[str, frozenset[str]]:
    return {name: plain(names) for name, names in names_of(deps).items()}


def names_of(deps: dict[str, Any]) -> dict[str, frozenset[str]]:
    """Returns for each name of a tree of arrays all that its arrays depend on."""
    is_leaf = lambda d: isinstance(d, frozenset)  # noqa: E731
    own = by_jumps(frozenset({_PARAMS}))
    return {
        name: frozenset().union(*jax.tree.leaves(tree, is_leaf=is_leaf)) - own
        for name, tree in deps.items()
    }
