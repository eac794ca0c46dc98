"""What the ELBOs learn themselves: temperature, eta, networks and averages, through stock SVI."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from jax.flatten_util import ravel_pytree
from numpyro.infer import SVI
from numpyro.primitives import mutable

import relaxppl.numpyro as rx
from tests.hosts.elbo.numpyro_cases import TWO_LEVELS, VECTOR
from tests.hosts.elbo.unbiased import own_parameters

LEARNING = {
    "relax": rx.RELAX_ELBO(hidden=3),
    "network": rx.RELAX_ELBO(hidden=3, control_variate="network"),
}


def is_learned(name):
    return ".estimator." in name or ".baseline." in name


def offsets():
    """Three levels whose logits take an added parameter: its gradient is -h, element by element."""

    def model():
        with numpyro.plate("rows", 3):
            a = numpyro.sample("a", dist.Bernoulli(0.4))
            b = numpyro.sample("b", dist.Bernoulli(logits=0.3 * a))
            c = numpyro.sample("c", dist.Bernoulli(logits=0.5 * b - 0.2))
            numpyro.sample("x", dist.Normal(a * c - b * c + 0.5 * b, 0.5), obs=0.8 * jnp.ones(3))

    def guide():
        h = {n: numpyro.param(n, jnp.zeros(3)) for n in ("h_a", "h_b", "h_c")}
        with numpyro.plate("rows", 3):
            a = numpyro.sample("a", dist.Bernoulli(logits=0.3 + h["h_a"]))
            b = numpyro.sample("b", dist.Bernoulli(logits=1.2 * a - 0.5 + h["h_b"]))
            numpyro.sample("c", dist.Bernoulli(logits=a - b + h["h_c"]))

    return model, guide, {n: jnp.zeros(3) for n in ("h_a", "h_b", "h_c")}


# The logits of the vector's only site are a parameter, and its other terms do not touch them.
PROGRAMS = {
    **{n: (e, VECTOR.model, VECTOR.guide, VECTOR.values()) for n, e in LEARNING.items()},
    "levels": (rx.REBAR_ELBO(temperature=0.7), *offsets()),
}


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=pytest.mark.long if n == "network" else ()) for n in PROGRAMS],
)
def test_gradient_of_own_parameters_is_that_of_the_variance(name):
    """V is the sum over the sites of |dL/dlogits|^2."""
    elbo, model, guide, values = PROGRAMS[name]
    guide = elbo.prepare(guide)
    own, key = own_parameters(elbo, guide.guide), jax.random.key(3)

    def loss(own, params):
        return elbo.loss(key, {**params, **own}, model, guide)

    def variance(own):
        gradients = jax.grad(loss, argnums=1)(own, values)
        return sum(jnp.sum(g**2) for n, g in gradients.items() if n == "q" or n.startswith("h_"))

    ours = jax.jit(jax.grad(loss))(own, values)
    flat, unravel = ravel_pytree(own)
    at = jax.jit(jax.vmap(lambda x: variance(unravel(x))))
    steps = 1e-5 * jnp.eye(len(flat))
    theirs = (at(flat + steps) - at(flat - steps)) / 2e-5
    np.testing.assert_allclose(ravel_pytree(ours)[0], theirs, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", LEARNING)
def test_learning_does_not_leak_into_the_program(name):
    """The program's gradient is the same with the estimator's parameters learned or fixed."""
    elbo, case, key = LEARNING[name], TWO_LEVELS, jax.random.key(1)
    own = own_parameters(elbo, case.guide)
    loss = lambda p, o: elbo.loss(key, {**p, **o}, case.model, case.guide)  # noqa: E731
    # The objective's part of the loss must not reach the program's gradient.
    first = next(iter(own))
    slope = lambda p: jnp.sum(jax.grad(loss, argnums=1)(p, own)[first])  # noqa: E731
    both = jax.jit(lambda p: (jax.grad(loss)(p, own), jax.grad(slope)(p)))
    program, leaked = both(case.values())
    assert all(np.any(np.asarray(g) != 0) for n, g in program.items() if n.startswith("q"))
    for gradient in leaked.values():
        np.testing.assert_array_equal(gradient, 0.0)


def test_learned_values_do_not_change_the_loss():
    case, key = VECTOR, jax.random.key(0)
    elbo = rx.REBAR_ELBO()
    own = own_parameters(elbo, case.guide)
    loss = lambda own: elbo.loss(key, {**case.values(), **own}, case.model, case.guide)  # noqa: E731
    fixed, learned = jax.jit(lambda own: (loss({}), loss(own)))(own)
    assert fixed == learned


def toy(t):
    def model():
        # The guide's own law as the prior leaves E[(b - t)^2] as the whole bound.
        logits = jax.lax.stop_gradient(numpyro.param("a", jnp.zeros(())))
        b = numpyro.sample("b", dist.Bernoulli(logits=logits))
        numpyro.factor("cost", -((b - t) ** 2))

    def guide():
        numpyro.sample("b", dist.Bernoulli(logits=numpyro.param("a", jnp.zeros(()))))

    return model, guide


def test_relax_on_the_toy_beats_the_score_function():
    """Grathwohl et al., 2018, figure 1: t = .499; ln Var < -10 within 3,000 steps."""
    model, guide = toy(0.499)
    elbo = rx.RELAX_ELBO()
    prepared = elbo.prepare(guide)
    svi = SVI(model, prepared, numpyro.optim.Adam(1e-2), elbo)
    result = svi.run(jax.random.key(0), 3000, progress_bar=False)

    def one(key, at):
        return jax.grad(lambda a: elbo.loss(key, {**result.params, "a": a}, model, prepared))(at)

    keys = jax.random.split(jax.random.key(1), 20_000)
    # At p = 1/2 too, where the score function's variance is largest: 1.56e-2.
    for at in (result.params["a"], jnp.zeros(())):
        gradients = jax.jit(jax.vmap(lambda k, at=at: one(k, at)))(keys)
        assert np.log(np.var(gradients)) < -10


def test_learned_rebar_lowers_the_variance():
    case, elbo = VECTOR, rx.REBAR_ELBO(temperature=2.0, eta=0.2)
    guide = elbo.prepare(case.guide)
    svi = SVI(case.model, guide, numpyro.optim.Adam(3e-2), elbo)
    own = svi.run(jax.random.key(0), 800, progress_bar=False).params
    own = {n: v for n, v in own.items() if is_learned(n)}

    def spread(own):
        def one(key):
            return jax.grad(lambda p: elbo.loss(key, {**p, **own}, case.model, guide))(
                case.values()
            )["q"]

        return float(
            jax.jit(jax.vmap(one))(jax.random.split(jax.random.key(1), 20_000)).var(0).sum()
        )

    assert spread(own) < 0.7 * spread(own_parameters(elbo, case.guide))


@pytest.mark.parametrize(("particles", "vectorised"), [(1, True), (3, True), (3, False)])
def test_average_survives_run_jit_and_particles(particles, vectorised):
    model, guide = toy(0.3)
    elbo = rx.ScoreFunction_ELBO(particles, vectorised, baseline="average", decay=0.8)
    svi = SVI(model, elbo.prepare(guide), numpyro.optim.SGD(0.0), elbo)
    state = svi.run(jax.random.key(0), 60, progress_bar=False).state
    average = float(state.mutable_state["b.baseline.average"])
    # At p = 1/2 the reward's mean is -(0.49 + 0.09) / 2, log p - log q being zero.
    assert average == pytest.approx(-0.29, abs=0.2 / np.sqrt(particles))
    assert average != 0.0


def test_average_is_the_decaying_one():
    model, guide = toy(0.3)
    elbo = rx.ScoreFunction_ELBO(baseline="average", decay=0.9)
    params = {"a": jnp.array(40.0), "b.baseline.average": jnp.array(2.0)}
    out = elbo.loss_with_mutable_state(jax.random.key(0), params, model, guide)
    # b is one: the reward is -(1 - 0.3)^2.
    assert float(out["mutable_state"]["b.baseline.average"]) == pytest.approx(1.8 - 0.049, rel=1e-6)


def baseline_program():
    data = jnp.linspace(-2.0, 2.0, 8)

    def model():
        with numpyro.plate("data", 8, subsample_size=4) as rows:
            b = numpyro.sample("b", dist.Bernoulli(0.5))
            numpyro.factor("f", 10.0 * data[rows] + b)

    def guide():
        a = numpyro.param("a", jnp.zeros(()))
        with numpyro.plate("data", 8, subsample_size=4) as rows:
            infer = {"estimator_input": data[rows][:, None]}
            numpyro.sample("b", dist.Bernoulli(logits=a), infer=infer)

    return model, guide


def test_network_baseline_learns_what_the_inputs_tell():
    model, guide = baseline_program()
    elbo = rx.ScoreFunction_ELBO(baseline="network")
    prepared = elbo.prepare(guide)
    svi = SVI(model, prepared, numpyro.optim.Adam(0.05), elbo)
    params = svi.run(jax.random.key(0), 800, progress_bar=False).params

    def spread(elbo):
        def one(key):
            loss = lambda a: elbo.loss(key, {**params, "a": a}, model, prepared)  # noqa: E731
            return jax.grad(loss)(jnp.zeros(()))

        draws = jax.jit(jax.vmap(one))(jax.random.split(jax.random.key(1), 5000))
        return float(draws.mean()), float(draws.std())

    mean, deviation = spread(elbo)
    bare_mean, bare_deviation = spread(rx.ScoreFunction_ELBO())
    assert deviation < 0.2 * bare_deviation
    assert abs(mean - bare_mean) < 4 * (deviation + bare_deviation) / np.sqrt(5000)


def test_variance_every_learns_on_some_steps_and_makes_up_for_the_others():
    """One step in n times n: the mean of the temperature's gradient is that of n = 1."""
    case, draws = VECTOR, 900

    def slopes(every):
        elbo = rx.REBAR_ELBO(variance_every=every)
        own = own_parameters(elbo, case.guide)

        def slope(key):
            loss = lambda o: elbo.loss(key, {**case.values(), **o}, case.model, case.guide)  # noqa: E731
            return jax.grad(loss)(own)["b.estimator.temperature"]

        return np.asarray(jax.jit(jax.vmap(slope))(jax.random.split(jax.random.key(0), draws)))

    every_step, some = slopes(1), slopes(3)
    taken = some != 0
    assert abs(taken.mean() - 1 / 3) < 4 * np.sqrt(2 / 9 / draws)
    np.testing.assert_allclose(some[taken], 3 * every_step[taken], rtol=1e-6)


def test_user_state_is_carried_with_particles():
    def model():
        b = numpyro.sample("b", dist.Bernoulli(0.5))
        count = mutable("count", jnp.zeros(()))
        del count
        numpyro.factor("f", b)

    def guide():
        numpyro.sample("b", dist.Bernoulli(logits=numpyro.param("a", jnp.zeros(()))))

    elbo = rx.DisARM_ELBO(num_particles=2)
    svi = SVI(model, guide, numpyro.optim.Adam(1e-2), elbo)
    state = svi.run(jax.random.key(0), 3, progress_bar=False).state
    assert set(state.mutable_state) == {"count"}


def test_the_loss_is_exact_however_large_what_it_learns_by_is():
    """The gradient of the variance is a square of costs; its surrogate must not touch the loss."""

    def model():
        with numpyro.plate("rows", 4):
            z = numpyro.sample("z", dist.Bernoulli(0.5))
            numpyro.factor("cost", 1e15 * (z - 0.3))

    def guide():
        with numpyro.plate("rows", 4):
            numpyro.sample("z", dist.Bernoulli(logits=numpyro.param("logits", jnp.array(0.7))))

    elbo = rx.REBAR_ELBO(learn=True)
    params = {"logits": 0.7, "z.estimator.temperature": 0.5, "z.estimator.eta": 1.0}
    params = {name: jnp.asarray(value) for name, value in params.items()}
    loss = jax.jit(lambda key: elbo.loss(key, params, model, elbo.prepare(guide)))
    # What is left after the costs is nothing beside them.
    ones = np.array([-loss(jax.random.key(seed)) / 1e15 + 1.2 for seed in range(3)])
    np.testing.assert_allclose(ones, ones.round(), atol=1e-6)
