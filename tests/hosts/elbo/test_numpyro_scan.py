"""Guides inside NumPyro's scan: what depends on what there, and gradients against enumeration."""

from __future__ import annotations

import itertools
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from jax import lax
from numpyro.contrib.control_flow import scan
from scipy import stats

import relaxppl.numpyro as rx
from relaxppl.estimators.jumps import plain
from relaxppl.estimators.score import ScoreFunction
from relaxppl.numpyro.elbo.provenance import eval_provenance
from relaxppl.numpyro.elbo.structure import analyse

Y = np.array([0.4, -1.0, 1.3])
PARAMS = {"q": jnp.array([0.3, -0.2, 0.5]), "r": jnp.array(0.7)}


def model() -> None:
    """A switch that its last value moves, a second one beside it, and a reading of both."""

    def step(last: Any, y: Any) -> Any:
        z = numpyro.sample("z", dist.Bernoulli(logits=0.3 + last))
        w = numpyro.sample("w", dist.Bernoulli(0.4 + 0.2 * z))
        numpyro.sample("y", dist.Normal(1.5 * z - 0.5 + 0.7 * w, 0.8), obs=y)
        return 0.4 * z, None

    scan(step, 0.0, jnp.asarray(Y))


def scanned() -> None:
    q, r = numpyro.param("q", jnp.zeros(3)), numpyro.param("r", jnp.array(0.0))

    def step(carry: Any, logit: Any) -> Any:
        z = numpyro.sample("z", dist.Bernoulli(logits=logit))
        numpyro.sample("w", dist.Bernoulli(logits=r * z - 0.2))
        return carry, z

    scan(step, None, q)


def closed_over() -> None:
    q = numpyro.param("q", jnp.zeros(3))

    def step(t: Any, _: None) -> Any:
        z = numpyro.sample("z", dist.Bernoulli(logits=q[t]))
        numpyro.sample("w", dist.Bernoulli(logits=0.2 * q[t]))
        return t + 1, z

    scan(step, 0, None, length=3)


def carried() -> None:
    q = numpyro.param("q", jnp.zeros(3))

    def step(state: Any, logit: Any) -> Any:
        state = jnp.tanh(state + logit)
        numpyro.sample("z", dist.Bernoulli(logits=state), infer=OF_ALL_STEPS)
        numpyro.sample("w", dist.Bernoulli(logits=0.2 * state))
        return state, None

    scan(step, jnp.zeros(()), q)


def recurrent() -> None:
    q = numpyro.param("q", jnp.zeros(3))

    def step(last: Any, logit: Any) -> Any:
        z = numpyro.sample("z", dist.Bernoulli(logits=logit + last))
        numpyro.sample("w", dist.Bernoulli(logits=0.2 * logit), infer=SEEN_BY_A_BASELINE)
        return 0.4 * z, None

    scan(step, jnp.zeros(()), q)


OF_ALL_STEPS = {"estimator_input": jnp.asarray(Y)[:, None]}
SEEN_BY_A_BASELINE = {"estimator": ScoreFunction(baseline="network", hidden=3), **OF_ALL_STEPS}

FORMS: dict[Any, dict[str, frozenset[str]]] = {
    scanned: {"z": frozenset(), "w": frozenset("z")},
    closed_over: {"z": frozenset(), "w": frozenset()},
    carried: {"z": frozenset(), "w": frozenset()},
    recurrent: {"z": frozenset("z"), "w": frozenset()},
}


@pytest.mark.parametrize("guide", FORMS, ids=lambda form: form.__name__)
def test_only_what_a_draw_reaches_depends_on_it(guide: Any) -> None:
    found = analyse(model, guide, (), {}, PARAMS)
    assert {n: d & {"z", "w"} for n, d in found.guide_laws.items()} == FORMS[guide]
    expected = {"z": guide is recurrent, "w": False}
    assert {n: c.recurrent for n, c in found.discrete.items()} == expected


def loss(q: np.ndarray, r: float, laws: Any) -> float:
    """KL(q||p) by enumeration, the program unrolled by hand."""
    total = 0.0
    for bits in itertools.product((0, 1), repeat=6):
        z, w = bits[:3], bits[3:]
        log_p, log_q, last, state = 0.0, 0.0, 0.0, 0.0
        for t in range(3):
            log_p += log_mass(z[t], 0.3 + last) + np.log([0.6, 0.4, 0.4, 0.6][2 * z[t] + w[t]])
            log_p += stats.norm.logpdf(Y[t], 1.5 * z[t] - 0.5 + 0.7 * w[t], 0.8)
            state, of_z, of_w = laws(state, q[t], r, z[t])
            log_q += log_mass(z[t], of_z) + log_mass(w[t], of_w)
            last = 0.4 * z[t]
        total += np.exp(log_q) * (log_q - log_p)
    return total


def log_mass(bit: int, logit: float) -> float:
    return float(-np.logaddexp(0.0, -logit if bit else logit))


def of_scanned(state: float, logit: float, r: float, z: int) -> tuple[float, float, float]:
    return state, logit, r * z - 0.2


def of_carried(state: float, logit: float, r: float, z: int) -> tuple[float, float, float]:
    state = np.tanh(state + logit)
    return state, state, 0.2 * state


def of_recurrent(last: float, logit: float, r: float, z: int) -> tuple[float, float, float]:
    return 0.4 * z, logit + last, 0.2 * logit


CASES = {
    "disarm": (rx.DisARM_ELBO(), scanned, of_scanned, ("q", "r")),
    # Of all control variates, REBAR's is in it too.
    "relax": (rx.RELAX_ELBO(hidden=3), carried, of_carried, ("q",)),
    "score": (rx.ScoreFunction_ELBO(baseline="average"), recurrent, of_recurrent, ("q",)),
}


def prepared(elbo: Any, guide: Any) -> tuple[Any, dict[str, Any]]:
    """Returns the guide with what the estimator learns, and that moved away from where it starts.

    A network and an average are zero at first, and would hide what is wrong with them.
    """
    guide, rng = elbo.prepare(guide), np.random.default_rng(0)
    trace = numpyro.handlers.trace(numpyro.handlers.seed(guide, 0)).get_trace()
    own = {n: s["value"] for n, s in trace.items() if ".estimator" in n or ".baseline" in n}
    return guide, {n: x + np.abs(rng.normal(size=jnp.shape(x))) for n, x in own.items()}


@pytest.mark.parametrize(("elbo", "guide", "laws", "names"), CASES.values(), ids=list(CASES))
def test_gradients_inside_scan_against_enumeration(
    elbo: Any, guide: Any, laws: Any, names: Any
) -> None:
    guide, own = prepared(elbo, guide)
    gradient = jax.grad(lambda p, key: elbo.loss(key, p | own, model, guide))
    draws = jax.jit(jax.vmap(gradient, (None, 0)))(
        {n: PARAMS[n] for n in names}, jax.random.split(jax.random.key(0), 20_000)
    )
    at = np.array([*np.asarray(PARAMS["q"], float), float(PARAMS["r"])])
    around = [[loss(*split(at + s), laws) for s in h * np.eye(4)] for h in (1e-5, -1e-5)]
    exact = np.subtract(*around) / 2e-5
    for name, x in draws.items():
        error = np.std(x, axis=0) / len(x) ** 0.5
        expected = exact[3] if name == "r" else exact[:3]
        assert np.all(np.abs(np.mean(x, axis=0) - expected) < 4 * error), name


def split(at: np.ndarray) -> tuple[np.ndarray, float]:
    return at[:3], at[3]


def test_what_scan_cannot_do_is_refused_with_a_way_out() -> None:
    key, way_out = jax.random.key(0), r"own values decide.*Python loop.*MarkovChain.*score, rloo"
    for elbo in (rx.DisARM_ELBO(), rx.RELAX_ELBO(), rx.RELAX_ELBO(control_variate="network")):
        with pytest.raises(NotImplementedError, match=way_out):
            elbo.loss(key, PARAMS, model, recurrent)
    run = partial(rx.REBAR_ELBO(learn=False).loss, model=model, guide=scanned)
    with pytest.raises(NotImplementedError, match=r"'w' lies inside scan.*on 'z'.*'disarm'"):
        jax.eval_shape(run, key, PARAMS)


def test_the_input_of_a_step_is_refused_with_a_way_out() -> None:
    def guide() -> None:
        def step(last: Any, y: Any) -> Any:
            law = dist.Bernoulli(0.5)
            return last, numpyro.sample("z", law, infer={"estimator_input": y[None]})

        scan(step, None, jnp.asarray(Y))

    score = rx.ScoreFunction_ELBO(baseline="network")
    with pytest.raises(NotImplementedError, match=r"'z' lies inside scan.*Give that of all steps"):
        numpyro.handlers.seed(score.prepare(guide), 0)()
    with pytest.raises(NotImplementedError, match=r"'z' lies inside scan.*Give that of all steps"):
        jax.jit(lambda key: rx.DisARM_ELBO().loss(key, {}, model, guide))(jax.random.key(0))


def test_provenance_follows_what_a_loop_carries() -> None:
    def program(a: Any, b: Any, c: Any) -> Any:
        (x, y), ys = lax.scan(lambda s, v: ((s[0] + 1, s[0] + v), s[1] + v), (a, b), c)
        low, _ = lax.while_loop(lambda s: s[0] < 3, lambda s: (s[0] + 1, s[1] * b), (a, c.sum()))
        one, two = lax.cond(a > 0, lambda: (3 * b, b), lambda: (b, 2 * b + c.sum()))
        kept = jax.checkpoint(jax.jit(lambda u, v: (u * 2, v)))(b, c)
        return {"carry": (x, y), "ys": ys, "while": low, "cond": (one, two), "call": kept}

    sets = {"a": 1.0, "b": 2.0, "c": jnp.ones(3)}
    is_leaf = lambda names: isinstance(names, frozenset)  # noqa: E731
    found = jax.tree.map(plain, eval_provenance(program, **sets), is_leaf=is_leaf)
    expected = {
        "carry": ("a", "abc"), "ys": "abc", "while": "a", "cond": ("ab", "abc"), "call": ("b", "c"),
    }  # fmt: skip
    assert found == jax.tree.map(frozenset, expected)
