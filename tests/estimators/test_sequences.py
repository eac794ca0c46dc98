"""Subsets, orderings and paths inside RELAX and local expectations, against enumeration.

Both hosts: many copies of a site in a plate are as many draws of one gradient.
"""

from __future__ import annotations

from itertools import combinations, permutations, product

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import pyro
import pytest
import torch

import relaxppl.numpyro as rn
import relaxppl.pyro as rp

RNG = np.random.default_rng(3)
COPIES = 4_000
N, K, STEPS = 4, 3, 3
LOGITS, FIRST, MOVES = RNG.normal(size=N), RNG.normal(size=K), RNG.normal(size=(STEPS - 1, K, K))
MIX, OF_STATES = RNG.normal(size=(N, N)), RNG.normal(size=(STEPS, K))
OF_PAIRS = RNG.normal(size=(STEPS - 1, K, K))


def curved(x, array=np.asarray):
    """Of a subset or of places' worths: not linear."""
    return ((x @ array(MIX)) ** 2).sum(-1) - 2.0 * x[..., 0] * x[..., 2]


def linear(x, array=np.asarray):
    return x @ array(MIX[0])


def of_ordering(order, array=np.asarray):
    return curved(order / 2.0, array)


def of_neighbours(path, array=np.asarray):
    pairs = path[..., :-1, :, None] * path[..., 1:, None, :]
    alone = (path * array(OF_STATES)).sum((-1, -2))
    return alone + (pairs * array(OF_PAIRS)).sum((-1, -2, -3))


def of_ends(path, array=np.asarray):
    """Of states that are no neighbours too: no sum over steps."""
    return of_neighbours(path, array) + 2.0 * path[..., 0, 1] * path[..., -1, 1]


def of_k(logits):
    chosen = np.array(list(combinations(range(N), 2)))
    values = np.eye(N)[chosen].sum(-2)
    log_p = values @ logits
    return values, log_p - jax.nn.logsumexp(log_p)


def of_places(logits):
    values = np.array(list(permutations(range(N))))
    placed = jnp.asarray(logits)[values]
    left = jnp.stack([jax.nn.logsumexp(placed[:, i:], -1) for i in range(N)], -1)
    return values.astype(float), (placed - left).sum(-1)


def of_states(first, moves):
    paths = np.array(list(product(range(K), repeat=STEPS)))
    log_a = jax.nn.log_softmax(jnp.asarray(moves), -1)
    log_p = jax.nn.log_softmax(jnp.asarray(first))[paths[:, 0]]
    for t in range(STEPS - 1):
        log_p = log_p + log_a[t, paths[:, t], paths[:, t + 1]]
    return np.eye(K)[paths], log_p


LAWS = {
    "subset": ("ConditionalBernoulli", {"k": 2}, {"logits": LOGITS}, of_k),
    "ordering": ("PlackettLuce", {}, {"logits": LOGITS}, of_places),
    "path": ("MarkovChain", {}, {"initial_logits": FIRST, "transition_logits": MOVES}, of_states),
}


def exact(kind: str, cost) -> dict[str, np.ndarray]:
    """The gradient of the mean cost, summed over all values."""
    _, _, parameters, law = LAWS[kind]

    def mean(given):
        values, log_p = law(*given.values())
        return jnp.exp(log_p) @ cost(values)

    return jax.grad(mean)({n: jnp.asarray(x) for n, x in parameters.items()})


def on_numpyro(kind: str, cost, elbo):
    """A gradient for each copy, the estimator's network moved away from zero."""
    name, fixed, parameters, _ = LAWS[kind]

    def law(given):
        return getattr(rn, name)(**fixed, **given).mask(False)

    def model():
        with numpyro.plate("copies", COPIES):
            x = numpyro.sample("x", law(parameters))
            numpyro.factor("cost", -cost(x))

    def guide():
        given = {}
        for n, start in parameters.items():
            given[n] = numpyro.param(n, np.broadcast_to(start, (COPIES, *start.shape)))
        with numpyro.plate("copies", COPIES):
            numpyro.sample("x", law(given))

    guide = elbo.prepare(guide)
    trace = numpyro.handlers.trace(numpyro.handlers.seed(guide, 0)).get_trace()
    params = {n: jnp.asarray(s["value"]) for n, s in trace.items() if s["type"] == "param"}
    rng = np.random.default_rng(0)
    moved = {n: x + 0.5 * rng.normal(size=x.shape) for n, x in params.items() if "estimator" in n}
    loss = jax.jit(jax.grad(lambda p, key: elbo.loss(key, p, model, guide)))
    found = loss(params | moved, jax.random.key(1))
    return {n: np.asarray(found[n]) for n in parameters}


def on_pyro(kind: str, cost, elbo):
    name, fixed, parameters, _ = LAWS[kind]
    start = {n: torch.tensor(x) for n, x in parameters.items()}

    def law(given):
        return getattr(rp, name)(**fixed, **given).mask(False)

    def model():
        with pyro.plate("copies", COPIES):
            x = pyro.sample("x", law(start))
            pyro.factor("cost", -cost(x.to(torch.float64), torch.tensor))

    def guide():
        given = {
            n: pyro.param(n, x.expand(COPIES, *x.shape).contiguous()) for n, x in start.items()
        }
        with pyro.plate("copies", COPIES):
            pyro.sample("x", law(given))

    pyro.clear_param_store()
    torch.manual_seed(0)
    guide = elbo.prepare(guide)
    elbo.loss_and_grads(model, guide)
    rng, store = np.random.default_rng(0), pyro.get_param_store()._params
    for n, x in store.items():
        if "estimator" in n:
            x.data += torch.tensor(0.5 * rng.normal(size=tuple(x.shape)))
        x.grad = None
    elbo.loss_and_grads(model, guide)
    return {n: store[n].grad.numpy() for n in parameters}


def check(found, right):
    for name, draws in found.items():
        error = draws.std(0) / np.sqrt(COPIES)
        gap = np.abs(draws.mean(0) - np.asarray(right[name]))
        assert (gap <= 4.0 * error + 1e-9).all(), name


def without_variance(found, right):
    for name, draws in found.items():
        wanted = np.broadcast_to(np.asarray(right[name]), draws.shape)
        np.testing.assert_allclose(draws, wanted, atol=1e-10, err_msg=name)


COSTS = {"subset": curved, "ordering": of_ordering, "path": of_ends}


# Every program takes seconds to compile here; on Pyro all of them run.
def some(at_once, *others):
    return [at_once, *(pytest.param(*x, marks=pytest.mark.long) for x in others)]


@pytest.mark.parametrize("kind", some("subset", ("ordering",), ("path",)))
def test_relax_with_a_network_has_the_exact_mean_on_numpyro(kind):
    check(on_numpyro(kind, COSTS[kind], rn.RELAX_ELBO(hidden=3)), exact(kind, COSTS[kind]))


@pytest.mark.long
@pytest.mark.parametrize("kind", ["path", "subset"])
def test_local_expectation_has_the_exact_mean_on_numpyro(kind):
    check(on_numpyro(kind, COSTS[kind], rn.LocalExpectation_ELBO()), exact(kind, COSTS[kind]))


@pytest.mark.parametrize(("kind", "cost"), some(("path", of_neighbours), ("subset", linear)))
def test_sums_have_no_variance_on_numpyro(kind, cost):
    without_variance(on_numpyro(kind, cost, rn.LocalExpectation_ELBO()), exact(kind, cost))


@pytest.mark.parametrize(
    ("kind", "elbo", "options"),
    [
        ("subset", "RELAX_ELBO", {"hidden": 3}),
        ("subset", "LocalExpectation_ELBO", {}),
        ("ordering", "RELAX_ELBO", {"hidden": 3}),
        ("ordering", "RLOO_ELBO", {"num_particles": 2}),
        ("path", "RELAX_ELBO", {"hidden": 3, "coupled": False}),
        ("path", "LocalExpectation_ELBO", {}),
    ],
)
def test_the_mean_is_exact_on_pyro(kind, elbo, options):
    found = on_pyro(kind, COSTS[kind], getattr(rp, elbo)(**options))
    check(found, exact(kind, COSTS[kind]))


@pytest.mark.parametrize(("kind", "cost"), [("subset", linear), ("path", of_neighbours)])
def test_sums_have_no_variance_on_pyro(kind, cost):
    without_variance(on_pyro(kind, cost, rp.LocalExpectation_ELBO()), exact(kind, cost))


@pytest.mark.parametrize("run", [on_numpyro, on_pyro])
def test_what_cannot_be_is_refused_with_a_way_out(run):
    host = rn if run is on_numpyro else rp
    ways = {"subset": "score, rloo, local_expectation, relax", "ordering": "score, rloo, relax"}
    ways["path"] = ways["subset"]
    for kind, (name, *_) in LAWS.items():
        way = f"'x' is a {name}, .*'rebar' does not support.*Choose one of {ways[kind]} by"
        with pytest.raises(NotImplementedError, match=way):
            run(kind, COSTS[kind], host.REBAR_ELBO())
        with pytest.raises(
            NotImplementedError, match=r"'x': .*in steps.*control_variate='network'"
        ):
            run(kind, COSTS[kind], host.RELAX_ELBO(control_variate="rebar"))
    with pytest.raises(NotImplementedError, match=r"PlackettLuce.*'local_expectation' does not"):
        run("ordering", of_ordering, host.LocalExpectation_ELBO())
    many = "15 other values each, take 15 evaluations .*max_evaluations=9.*'rloo'"
    with pytest.raises(ValueError, match=many):
        run("path", of_ends, host.LocalExpectation_ELBO(max_evaluations=9))
