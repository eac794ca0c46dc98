"""exact_kl="learned": the factor moves from the sampled KL to the exact one, and learns."""

from __future__ import annotations

from functools import partial

import jax
import numpy as np
import pyro
import pytest
import torch

import relaxppl.numpyro as rn
import relaxppl.pyro as rp
from relaxppl.estimators import kl_factor
from tests.hosts.elbo import numpyro_cases, pyro_cases, pyro_unbiased, unbiased

FACTORS = (0.0, 1.0, 0.3)
KEY = "b.estimator.exact_kl"


def check(gradients, slope, sampled, exact):
    """g is linear between the other two forms, and the factor's gradient is that of its square."""
    zero, one, third = (np.asarray(g) for g in gradients)
    np.testing.assert_allclose(zero, sampled, atol=1e-9)
    np.testing.assert_allclose(one, exact, atol=1e-9)
    assert np.max(np.abs(one - zero)) > 1e-3
    np.testing.assert_allclose(third, 0.7 * zero + 0.3 * one, atol=1e-9)
    np.testing.assert_allclose(slope, 2 * np.sum(third * (one - zero)), rtol=1e-6)


@pytest.mark.parametrize(
    "make", [partial(rn.REBAR_ELBO, debias=0.6), partial(rn.ScoreFunction_ELBO, baseline="average")]
)
def test_numpyro_each_draw_is_linear_in_the_factor(make):
    case = numpyro_cases.VECTOR
    own = unbiased.own_parameters(make(exact_kl="learned"), case.guide)
    assert own[KEY] == 0.0

    def gradient(elbo, own):
        loss = lambda p: elbo.loss(jax.random.key(3), p, case.model, case.guide)  # noqa: E731
        return jax.grad(loss)({**case.values(), **own})

    learned = jax.jit(lambda c: gradient(make(exact_kl="learned"), {**own, KEY: c}))
    found = [learned(c) for c in FACTORS]
    others = jax.jit(lambda: [gradient(make(exact_kl=kl), own)["q"] for kl in (False, True)])()
    check([g["q"] for g in found], found[-1][KEY], *others)


@pytest.mark.parametrize(
    "make",
    [
        rp.ScoreFunction_ELBO,
        partial(rp.ScoreFunction_ELBO, baseline="average"),
        rp.DisARM_ELBO,
        partial(rp.ARMS_ELBO, num_particles=3),
        partial(rp.REBAR_ELBO, coupled=False, eta=0.7),
        partial(rp.RELAX_ELBO, hidden=2),
        partial(rp.RELAX_ELBO, control_variate="network", hidden=2),
    ],
    ids=lambda make: getattr(make, "func", make).__name__ + str(getattr(make, "keywords", "")),
)
def test_pyro_each_draw_is_linear_in_the_factor(make):
    model, guide = pyro_cases.VECTOR.build(1)

    def gradients(kl, factor=None):
        pyro.clear_param_store()
        if factor is not None:
            pyro.param(KEY, torch.tensor(factor, dtype=torch.float64))
        elbo = make(exact_kl=kl)
        elbo.prepare(guide)
        pyro.set_rng_seed(4)
        elbo._gradients = 5  # No verification, which draws too.
        elbo.loss_and_grads(model, guide)
        store = pyro.get_param_store()
        slope = float(store[KEY].grad) if KEY in store else 0.0
        return pyro.param("q").grad.numpy(), slope

    found = [gradients("learned", c) for c in FACTORS]
    check([g for g, _ in found], found[-1][1], gradients(False)[0], gradients(True)[0])


def test_numpyro_unbiased_at_another_factor(monkeypatch):
    monkeypatch.setattr(kl_factor, "INITIAL", 0.4)
    elbo = rn.REBAR_ELBO(temperature=0.6, exact_kl="learned")
    outcome = unbiased.measure(elbo, numpyro_cases.TWO_LEVELS, draws=20_000, prepare=True)
    assert outcome.worst < 4.5
    assert outcome.error < 0.05


@pytest.mark.parametrize(
    ("make", "case"),
    [
        (rp.DisARM_ELBO, "subsampled plate"),
        (partial(rp.RLOO_ELBO, num_particles=3), "three levels"),
        (rp.REBAR_ELBO, "two levels"),
    ],
)
def test_pyro_unbiased_at_another_factor(make, case, monkeypatch):
    monkeypatch.setattr(kl_factor, "INITIAL", -0.4)
    elbo = make(exact_kl="learned")
    elbo.prepare(None)
    outcome = pyro_unbiased.measure(elbo, pyro_cases.CASES[case])
    assert outcome.worst < 4.5
    assert outcome.error < 0.05
    assert any(name.endswith(".estimator.exact_kl") for name in pyro.get_param_store())


def test_an_unprepared_guide_and_wrong_arguments():
    for elbo in (rn.DisARM_ELBO, rp.DisARM_ELBO):
        with pytest.raises(ValueError, match="must be True, False or 'learned', got 'yes'"):
            elbo(exact_kl="yes")
    case, match = numpyro_cases.VECTOR, "learns nothing at b, whose KL stays sampled"
    elbo, given = rn.DisARM_ELBO(exact_kl="learned"), (case.values(), case.model, case.guide)
    with pytest.warns(UserWarning, match=match):
        jax.eval_shape(lambda key: elbo.loss(key, *given), jax.random.key(0))
    pyro.clear_param_store()
    with pytest.warns(UserWarning, match=match):
        rp.DisARM_ELBO(exact_kl="learned").loss_and_grads(*pyro_cases.VECTOR.build(1))
