"""The gradients of the variance objective, against finite differences of V itself."""

from __future__ import annotations

import jax
import numpy as np
import pytest

from relaxppl import ops
from relaxppl.estimators import control, laws, network, relax
from tests.estimators.noise import BACKENDS

MIX = np.random.default_rng(3).normal(size=(3, 3))


def problem(make, law):
    rng = np.random.default_rng(0)
    kind = getattr(laws, law)
    draws = {}
    for name in ("a", "b"):
        made = kind(make(rng.normal(size=(5, 3))))
        sample = getattr(rng, made.noise)
        hard = made.hard(made.latent(make(sample(size=(5, 3)))))
        draws[name] = laws.Draw(made, hard, make(sample(size=(5, 3))))
    mix = make(MIX)

    def cost(x):
        each = ops.sum((x["a"] @ mix) * x["b"] ** 2, axis=-1, keepdims=True)
        return [laws.total(each)], {"a": each, "b": each}

    rewards = {n: make(rng.normal(size=(5, 1))) for n in draws}
    free = {n: d.law.latent(make(getattr(rng, d.law.noise)(size=(5, 3)))) for n, d in draws.items()}
    return draws, cost, rewards, free


COMPILED = {"jax": jax.jit, "torch": lambda fn: fn}


def local_gradients(draws, cost, rewards, free, given):
    controls = control.control(draws, cost, given["temperature"], free)
    h = {n: rewards[n] * draws[n].score() + given["eta"][n] * controls[n] for n in draws}
    own = None if free is None else free["a"]
    weights = network.on_site(given["weights"], 1)
    h["a"] = h["a"] + relax.network_control(draws["a"], weights, own)
    return h


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("law", ["Bernoulli", "OneHotCategorical"])
@pytest.mark.parametrize("coupled", [True, False])
def test_gradients_of_the_variance(backend, law, coupled):
    make = BACKENDS[backend]
    draws, cost, rewards, free = problem(make, law)
    free = None if coupled else free
    etas = {"a": make(np.array(0.8)), "b": make(np.array(1.3))}
    temperatures = {"a": make(np.array(0.7)), "b": make(np.array(1.1))}
    rng = np.random.default_rng(5)
    weights = {
        k: make(v + 0.3 * rng.normal(size=v.shape)) for k, v in network.initial(3, 2).items()
    }
    given = {"eta": etas, "temperature": temperatures, "weights": weights}
    compiled = COMPILED[backend](lambda given: local_gradients(draws, cost, rewards, free, given))

    def gradients(given):
        h = local_gradients(draws, cost, rewards, free, given)
        h = {n: ops.stop_gradient(x) for n, x in h.items()}
        controls, to_temperatures = ops.vjp(
            lambda at: control.control(draws, cost, at, free), given["temperature"]
        )
        own = None if free is None else free["a"]
        _, pullback = ops.vjp(
            lambda w: relax.network_control(draws["a"], network.on_site(w, 1), own),
            given["weights"],
        )
        return (
            control.gradients_in_etas(h, controls),
            control.gradients_in_temperatures(h, given["eta"], to_temperatures),
            pullback(2.0 * h["a"]),
        )

    in_eta, in_temperature, in_weights = COMPILED[backend](gradients)(given)

    def shifted(which, key, step):
        moved = {**given, which: {**given[which], key: given[which][key] + make(step)}}
        h = compiled(moved)
        return sum(float((np.asarray(ops.stop_gradient(x)) ** 2).sum()) for x in h.values())

    def difference(which, key, direction):
        step = 1e-5 * direction
        return (shifted(which, key, step) - shifted(which, key, -step)) / 2e-5

    for name in draws:
        one = np.array(1.0)
        assert float(in_eta[name]) == pytest.approx(difference("eta", name, one), rel=1e-6)
        assert float(in_temperature[name]) == pytest.approx(
            difference("temperature", name, one), rel=1e-6
        )
    for key, gradient in in_weights.items():
        direction = rng.normal(size=tuple(gradient.shape))
        along = float((np.asarray(gradient) * direction).sum())
        assert along == pytest.approx(difference("weights", key, direction), rel=1e-5), key


@pytest.mark.parametrize("backend", BACKENDS)
def test_latents_lie_where_the_draw_says(backend):
    make = BACKENDS[backend]
    rng = np.random.default_rng(2)
    for law in (laws.Bernoulli, laws.OneHotCategorical):
        made = law(make(3.0 * rng.normal(size=(1000, 4))))
        sample = getattr(rng, made.noise)
        hard = made.hard(made.latent(make(sample(size=(1000, 4)))))
        draw = laws.Draw(made, hard, make(sample(size=(1000, 4))))
        np.testing.assert_array_equal(made.hard(draw.latent), hard)
        np.testing.assert_allclose(made.latent(draw.fixed_noise), draw.latent, atol=1e-12)
        assert np.all((np.asarray(draw.soft(make(np.array(0.5)))) > 0.5) <= np.asarray(hard > 0.5))


@pytest.mark.parametrize("backend", BACKENDS)
def test_pulled_paths_are_those_of_the_latents(backend):
    """The closed forms of the derivatives in the logits, against those of the latents' formulas."""
    make = BACKENDS[backend]
    rng = np.random.default_rng(4)
    for law in (laws.Bernoulli, laws.OneHotCategorical):
        made = law(make(2.0 * rng.normal(size=(50, 4))))
        sample = getattr(rng, law.noise)
        hard = made.hard(made.latent(make(sample(size=(50, 4)))))
        draw = laws.Draw(made, hard, make(sample(size=(50, 4))))
        free, conditional = (make(rng.normal(size=(50, 4))) for _ in range(2))

        def paths(logits, law=law, draw=draw, free=free, conditional=conditional):
            moved = law(logits)
            path = moved.latent(draw.fixed_noise) * free
            path = path - moved.latent_given_hard(draw.hard, draw.noise) * conditional
            return laws.total(path), ()

        expected = ops.value_and_grad(paths, made.logits)[1]
        np.testing.assert_allclose(draw.pull(free, conditional), expected, atol=1e-12)
