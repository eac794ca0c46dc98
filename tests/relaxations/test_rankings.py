"""Orderings and matchings: hard values by brute force, and orderings inside the estimators."""

from __future__ import annotations

import sys
from itertools import permutations

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import pytest

import relaxppl.numpyro as rn
from relaxppl.ops._matching import best_columns
from tests.adapter import HOSTS, Host
from tests.relaxations.cases import name_of
from tests.relaxations.subset_rows import plackett_luce

ALL_HOSTS = pytest.mark.parametrize("host", HOSTS.values(), ids=name_of)
RNG = np.random.default_rng(3)
LOGITS = RNG.normal(size=4)


@ALL_HOSTS
def test_the_mode_is_the_most_probable_ordering(host: Host):
    law = plackett_luce(LOGITS)
    d = host.make("PlackettLuce", {"logits": LOGITS})
    np.testing.assert_array_equal(host.call(d, "mode"), law.values[law.probs.argmax()])
    found = host.log_prob(d, law.values)
    np.testing.assert_allclose(found, np.log(law.probs), rtol=0, atol=1e-12)


@ALL_HOSTS
def test_a_hundred_items_are_ordered_and_not_enumerated(host: Host):
    d = host.make("PlackettLuce", {"logits": 5 * RNG.normal(size=100)}, "float32")
    value, inside, log_prob = host.draw_and_score(d, 0, (20,))
    assert inside.all()
    assert np.isfinite(log_prob).all()
    assert np.issubdtype(value.dtype, np.integer)
    assert not d.has_enumerate_support
    with pytest.raises(NotImplementedError, match="estimates it"):
        d.entropy()


def test_a_matching_without_scipy_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "scipy.optimize", None)
    with pytest.raises(ImportError, match=r'SciPy.*pip install "relaxppl\[pyro\]"'):
        best_columns(np.eye(2))


def test_score_takes_orderings_of_numpyro():
    places = np.array([2.0, -1.0, 0.5, 1.0])

    def cost(order):
        # The first two places multiply.
        return places[order[..., 0]] * places[order[..., 1]]

    def mean(logits):
        law = plackett_luce(logits)
        return law.probs @ cost(law.values.astype(int))

    def model():
        order = numpyro.sample("order", rn.PlackettLuce(LOGITS).mask(False))
        worth = jnp.asarray(places)[order]
        numpyro.factor("cost", -worth[..., 0] * worth[..., 1])

    def guide():
        numpyro.sample("order", rn.PlackettLuce(numpyro.param("logits", LOGITS)).mask(False))

    def loss(logits, key):
        return rn.ScoreFunction_ELBO().loss(key, {"logits": logits}, model, guide)

    keys = jax.random.split(jax.random.key(1), 8_000)
    draws = np.asarray(jax.jit(jax.vmap(jax.grad(loss), (None, 0)))(LOGITS, keys))
    moves = 1e-5 * np.eye(4)
    exact = np.array([(mean(LOGITS + m) - mean(LOGITS - m)) / 2e-5 for m in moves])
    error = draws.std(0) / np.sqrt(len(draws))
    assert (np.abs(draws.mean(0) - exact) < 4 * error).all()


MATRIX = {"temperature": np.array([0.5, 1.0]), "logits": RNG.normal(size=(2, 3, 3))}


@ALL_HOSTS
def test_hard_matchings_are_the_best_and_have_the_soft_gradient(host: Host):
    soft, hard = (host.make("GumbelSinkhorn", {**MATRIX, "hard": hard}) for hard in (False, True))
    noise = host.noise(soft, 0, (20,))
    latent, found = MATRIX["logits"] + noise, host.from_noise(hard, noise)
    assert (found.sum(-1) == 1).all()
    every = np.eye(3)[list(permutations(range(3)))]
    sums = np.einsum("nbij,pij->nbp", latent, every)
    np.testing.assert_array_equal(found, every[sums.argmax(-1)])
    for value in found, host.from_noise(soft, noise):
        np.testing.assert_array_equal(host.call(soft, "harden", host.array(value)), found)
    weights = host.array(RNG.normal(size=noise.shape))

    def gradient(hard):
        def total(params):
            d = host.build("GumbelSinkhorn", {**params, "hard": hard})
            return (d.from_noise(host.array(noise)) * weights).sum()

        return host.value_and_grad(total, MATRIX)[1]

    ours, theirs = gradient(True), gradient(False)
    for name, wanted in theirs.items():
        np.testing.assert_allclose(ours[name], wanted, rtol=1e-12, err_msg=name)
    with pytest.raises(NotImplementedError, match="no tractable mass"):
        hard.log_prob(host.array(found))


@ALL_HOSTS
def test_columns_sum_to_one_after_enough_iterations(host: Host):
    d = host.make("GumbelSinkhorn", {**MATRIX, "temperature": np.array(3.0), "iterations": 200})
    np.testing.assert_allclose(host.samples(d, 0, (50,)).sum(-2), 1.0, atol=1e-6)
