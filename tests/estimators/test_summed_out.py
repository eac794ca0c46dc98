"""Sites of the model alone that the ELBOs sum out, against enumeration by hand and the hosts'."""

from __future__ import annotations

import itertools
from dataclasses import replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pyro
import pytest
from jax.nn import log_softmax, logsumexp

from tests.adapter import HOSTS, both
from tests.estimators.multi_sample_case import SEEN, Case, Row, mass, normal, scaled
from tests.estimators.multi_sample_measure import measure

MARK = {"enumerate": "parallel"}
NUMPYRO, PYRO = HOSTS.values()

# A chain of two categories beside a Bernoulli and a one-hot that depends on it, in a subsample.

SIZE, BATCH = 3, 2
DATA = np.array([1.2, -0.4, 0.6])
STEPS = np.array([[0.3, -0.5, 0.1], [-0.2, 0.6, 0.4]])
LINK = np.array([[0.5, 0.0], [0.0, 0.9], [0.3, -0.4]])
LOCS = np.array([0.8, -0.9])


def inside_program(host: Any, param: Any, ask: str | None = None) -> Any:
    dist = host.dist

    def model() -> None:
        prior = param("prior")
        with host.plate("data", SIZE, subsample_size=BATCH, dim=-1) as rows:
            b = host.sample("b", dist.Bernoulli(logits=prior[..., 0]))
            logits = host.array(STEPS)[0] + b[..., None] * prior[..., :3]
            z = host.sample("z", dist.Categorical(logits=logits), infer=dict(MARK))
            k = host.sample("k", host.rx.OneHotCategorical(logits=host.array(LINK)[z]))
            y = host.sample("y", dist.Bernoulli(logits=0.7 * z - 0.4), infer=dict(MARK))
            loc = k @ host.array(LOCS) + y * b - 0.3 * z
            host.sample("x", dist.Normal(loc, 0.7), obs=host.array(DATA)[rows])

    def guide() -> None:
        with host.plate("data", SIZE, subsample_size=BATCH, dim=-1) as rows:
            SEEN["rows"] = rows
            b = host.sample("b", dist.Bernoulli(logits=param("q")[:, rows, 0]))
            logits = param("q")[:, rows, 1:] + b[..., None] * host.array([0.5, -0.2])
            host.sample("k", host.rx.OneHotCategorical(logits=logits), infer={"estimator": ask})

    return model, guide


def inside_table(p: Any, held: Any, rows: Any) -> list[Row]:
    out, prior = [], p["prior"][0]
    b, k = (np.array(x) for x in zip(*itertools.product(range(2), range(2)), strict=True))
    for i in rows:
        guide = p["q"][i, 1:] + b[:, None] * np.array([0.5, -0.2])
        log_q = mass(p["q"][i, 0], b) + log_softmax(guide)[np.arange(4), k]
        parts = []
        for z, y in itertools.product(range(3), range(2)):
            log_z = log_softmax(STEPS[0] + b[:, None] * prior[:3])[:, z]
            log_y = mass(0.7 * z - 0.4, y) + log_softmax(LINK[z])[k]
            loc = LOCS[k] + y * b - 0.3 * z
            parts.append(log_z + log_y + normal(jnp.asarray(DATA)[i], loc, 0.7))
        log_p = mass(prior[0], b) + logsumexp(jnp.stack(parts), 0)
        out.append(Row(log_q, log_q, log_p, SIZE / BATCH))
    return out


INSIDE = Case(
    {
        "q": np.array([[0.5, -0.3, 0.1], [0.0, 0.7, -0.6], [0.2, 0.2, -0.9]]),
        "prior": np.array([[0.3, 0.6, -0.7]]),
    },
    inside_program,
    inside_table,
    plates=("data",),
    subsampled=True,
)
MIXED = replace(INSIDE, program=partial(inside_program, ask="disarm"))


# One that all elements of a plate see, one for each of them, one of whom a mask leaves out.

MASK = np.array([True, False])
SEEN_AT = np.array([0.4, -0.8])


def outside_program(host: Any, param: Any) -> Any:
    dist = host.dist

    def model() -> None:
        theta = param("theta")
        w = host.sample("w", dist.Bernoulli(logits=theta[..., 0]), infer=dict(MARK))
        with host.plate("inner", 2, dim=-1):
            b = host.sample("b", dist.Bernoulli(logits=theta[..., 1] * (w - 0.5)))
            with host.mask(MASK):
                law = host.rx.OneHotCategorical(logits=w[..., None] * theta + b[..., None])
                z = host.sample("z", law, infer=dict(MARK))
                loc = z[..., 1] + b * w
                host.sample("x", dist.Normal(loc, 0.6), obs=host.array(SEEN_AT))

    def guide() -> None:
        with host.plate("inner", 2, dim=-1):
            host.sample("b", dist.Bernoulli(logits=param("q")))

    return model, guide


def outside_table(p: Any, held: Any, rows: Any) -> list[Row]:
    theta = p["theta"][0]
    b = np.array(list(itertools.product((0.0, 1.0), repeat=2)))
    log_q = mass(p["q"], b).sum(1)
    parts = []
    for w in (0.0, 1.0):
        log_b = mass(theta[1] * (w - 0.5), b)
        log_z = log_softmax(w * theta + b[..., None])
        log_x = normal(SEEN_AT[:, None], np.arange(2) + b[..., None] * w, 0.6)
        row = log_b + MASK * logsumexp(log_z + log_x, -1)
        parts.append(mass(theta[0], w) + row.sum(1))
    return [Row(log_q, log_q, logsumexp(jnp.stack(parts), 0))]


OUTSIDE = Case(
    {"theta": np.array([[0.5, -0.9]]), "q": np.array([0.0, -0.7])},
    outside_program,
    outside_table,
)


def elbos(host: Any) -> list[tuple[Any, Case, str]]:
    rx = host.rx
    found = [
        (rx.REBAR_ELBO(learn=False), MIXED, "rebar and disarm"),
        (rx.VIMCO_ELBO(2), OUTSIDE, "vimco"),
    ]
    if host is PYRO:  # They cost little there, and no compilation.
        found += [
            (rx.RLOO_ELBO(2, vectorize_particles=True, max_plate_nesting=2), INSIDE, "rloo"),
            (rx.REBAR_ELBO(learn=False), OUTSIDE, "rebar"),
        ]
    return found


@both
def test_mean_gradients_are_those_of_the_summed_model(host):
    for elbo, case, what in elbos(host):
        outcome = measure(host, case, elbo, 2_000, 5)
        assert outcome.worst < 4, what
        assert outcome.value < 8, what
        assert outcome.error < 0.06, what


def nested_program(host: Any) -> tuple[Any, Any]:
    """Nothing but summed sites: plates in a plate, and a chain, all of it scaled."""
    dist, array = host.dist, host.array

    def model() -> None:
        theta = host.lib.param("theta", array([0.4, -0.7, 0.3]))
        with scaled(host, 1.5):
            g = host.sample("g", dist.Bernoulli(logits=theta[0]), infer=dict(MARK))
            with host.plate("outer", 2, dim=-2):
                logits = array(STEPS)[g.astype(int) if host is NUMPYRO else g.long()]
                a = host.sample("a", dist.Categorical(logits=logits), infer=dict(MARK))
                host.sample("y", dist.Normal(theta[1] * a, 0.8), obs=array([[0.3], [1.1]]))
                with host.plate("inner", 3, dim=-1), host.mask(np.array([True, True, False])):
                    c = host.sample("c", dist.Bernoulli(logits=theta[1] * a), infer=dict(MARK))
                    host.sample("x", dist.Normal(c + theta[2] * g, 0.5), obs=array(DATA))
            s = array(0.0)
            for t in range(4):
                s = host.sample(f"s{t}", dist.Bernoulli(logits=theta[2] - s), infer=dict(MARK))
                host.sample(f"e{t}", dist.Normal(s + g, 0.9), obs=array(0.4 * t))

    def guide() -> None:
        pass

    return model, guide


def test_value_and_gradient_are_those_of_pyros_enumeration():
    """NumPyro's own agrees; it takes half a minute to say so."""
    found = []
    model, guide = nested_program(PYRO)
    for elbo in (PYRO.rx.ScoreFunction_ELBO(), pyro.infer.TraceEnum_ELBO(max_plate_nesting=2)):
        pyro.clear_param_store()
        value = elbo.loss_and_grads(model, guide)
        found.append([value, *pyro.param("theta").grad.numpy()])
    model, guide = nested_program(NUMPYRO)

    @jax.jit
    def loss(params):
        elbo = NUMPYRO.rx.ScoreFunction_ELBO()
        return jax.value_and_grad(lambda p: elbo.loss(jax.random.key(0), p, model, guide))(params)

    value, grads = loss({"theta": jnp.array([0.4, -0.7, 0.3])})
    found.append([float(value), *np.asarray(grads["theta"])])
    for ours in (found[0], found[2]):
        np.testing.assert_allclose(ours, found[1], rtol=1e-5)


@both
def test_bound_and_exact_gradient(host):
    """Of one Bernoulli beside one that is summed out; a guide that has the site draws it."""
    dist, array, rx, start = host.dist, host.array, host.rx, 0.3

    def model() -> None:
        c = host.sample("c", dist.Bernoulli(array(0.3)), infer=dict(MARK))
        b = host.sample("b", dist.Bernoulli(array(0.4)))
        host.sample("x", dist.Normal(b + c, 1.0), obs=array(0.7))

    def guide() -> None:
        host.sample("b", dist.Bernoulli(logits=host.lib.param("q", array(start))))

    def both_sites() -> None:
        guide()
        host.sample("c", dist.Bernoulli(array(0.5)))

    params = {"q": array(start)}
    p, worth = 1 / (1 + np.exp(-start)), []
    for b, prior in ((0, 0.6), (1, 0.4)):
        likelihood = [w * np.exp(normal(0.7, b + c, 1.0)) for c, w in ((0, 0.7), (1, 0.3))]
        worth.append(np.log(prior * sum(likelihood) / (p, 1 - p)[1 - b]))

    def bound():
        own = {"rng_key": jax.random.key(0)} if host is NUMPYRO else {"vectorize_particles": True}
        return rx.discrete_elbo(model, guide, params, **own, num_particles=2_000)

    pyro.clear_param_store()
    found = float(jax.jit(bound)() if host is NUMPYRO else bound())
    exact, gap = p * worth[1] + (1 - p) * worth[0], worth[1] - worth[0]
    assert abs(found - exact) < 4 * abs(gap) * (p * (1 - p) / 2_000) ** 0.5
    stats = rx.gradient_stats(rx.LocalExpectation_ELBO(), model, guide, params, num_draws=2)
    for gradient in (stats.mean, stats.exact):
        np.testing.assert_allclose(gradient["q"], -p * (1 - p) * gap, rtol=1e-4)
    args = (jax.random.key(0), params) if host is NUMPYRO else ()
    assert np.isfinite(float(rx.ScoreFunction_ELBO().loss(*args, model, both_sites)))


def refused(host: Any, message: str, law: Any = None, mark: Any = MARK, see: Any = None) -> None:
    """Checks the refusal of a program of one summed site in a plate, changed in one respect."""
    dist = host.dist
    law = dist.Bernoulli(host.array(0.3)) if law is None else law

    def model() -> None:
        with host.plate("data", 3, dim=-1):
            z = host.sample("z", law, infer=dict(mark))
        host.sample("x", dist.Normal(z if see is None else see(z), 1.0), obs=host.array(0.5))

    key = (jax.random.key(0), {}) if host is NUMPYRO else ()
    pyro.clear_param_store()
    with pytest.raises(NotImplementedError) as caught:
        host.rx.ScoreFunction_ELBO().loss(*key, model, lambda: None)
    for part in ("'z': infer=", "TraceEnum_ELBO", "local_expectation", message):
        assert part in str(caught.value)


@both
def test_what_cannot_be_summed_is_refused_by_name(host):
    refused(host, "'x' has the batch shape () at one value and (2,) at", see=lambda z: z.sum(-1))
    refused(host, "'x' sees it from outside of its plate 'data'", see=lambda z: z[..., :1])
    refused(host, "'sequential' is not 'parallel'", mark={"enumerate": "sequential"})
    refused(host, "no finite list of values", law=host.dist.Poisson(host.array(2.0)))
    dependent = host.dist.Bernoulli(host.array([[0.3, 0.1, 0.2], [0.3, 0.6, 0.7]]))
    refused(host, "a batch dimension that no plate declares", law=dependent)
    refused(
        host,
        "no finite list of values",
        law=host.dist.Bernoulli(host.array([0.3, 0.1])).to_event(1),
    )
