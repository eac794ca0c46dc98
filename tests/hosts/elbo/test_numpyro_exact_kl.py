"""exact_kl integrates the terms it may, leaves the others, and stays unbiased."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from numpyro import handlers

import relaxppl.numpyro as rx
from relaxppl.numpyro.elbo.exact_kl import kl
from relaxppl.numpyro.elbo.program import Program
from relaxppl.numpyro.elbo.structure import analyse
from tests.hosts.elbo.numpyro_cases import PLATE, SHARED, THREE_LEVELS, TWO_LEVELS, VECTOR
from tests.hosts.elbo.numpyro_corner_cases import COUNTS
from tests.hosts.elbo.unbiased import measure

ESTIMATORS = {
    "score": (rx.ScoreFunction_ELBO, {}),
    "rloo": (rx.RLOO_ELBO, {}),
    "disarm": (rx.DisARM_ELBO, {}),
    "rebar": (rx.REBAR_ELBO, {"temperature": 0.6, "learn": False}),
    "relax": (rx.RELAX_ELBO, {"hidden": 3}),
}


AT_ONCE = ("score",)


def integrated(model, guide):
    """Returns the sites whose two terms became one."""
    structure = analyse(model, guide, (), {}, {})
    found = []

    def run():
        keys = tuple(jax.random.split(jax.random.key(0)))
        program = Program(model, guide, (), {}, {}, structure, keys, use_exact_kl=True)
        found.append(program.integrated)

    jax.eval_shape(run)
    return found[0]


@pytest.mark.parametrize(
    ("case", "estimator"),
    [
        # Every estimator on Pyro.
        *(
            pytest.param(TWO_LEVELS, name, marks=() if name in AT_ONCE else pytest.mark.long)
            for name in ESTIMATORS
        ),
        (PLATE, "rebar"),
    ],
    ids=lambda value: getattr(value, "name", value),
)
def test_mean_gradient_and_loss_are_exact(case, estimator):
    make, options = ESTIMATORS[estimator]
    infer = case.infer if estimator == "rebar" else {}
    elbo = make(**options, exact_kl=True)
    outcome = measure(elbo, case, infer=infer, prepare=estimator == "relax")
    assert outcome.worst < 4
    assert outcome.error < 0.05


def test_sites_whose_kl_is_exact():
    assert integrated(VECTOR.model, VECTOR.guide) == {"b"}
    assert integrated(THREE_LEVELS.model, THREE_LEVELS.guide) == {"u", "a", "y", "b", "c", "v"}
    assert integrated(PLATE.model, PLATE.guide) == {"z", "k"}


def test_sites_that_are_weighted_differently_are_sampled():
    model, guide = VECTOR.model, VECTOR.guide
    assert integrated(SHARED.model, SHARED.guide) == set()
    assert integrated(model, handlers.scale(guide, scale=2.0)) == set()
    double = partial(handlers.scale, scale=2.0)
    assert integrated(double(model), double(guide)) == {"b"}
    mask = np.array(False)
    assert integrated(model, handlers.mask(guide, mask=mask)) == set()
    masked = (handlers.mask(fn, mask=m) for fn, m in ((model, mask.copy()), (guide, mask)))
    assert integrated(*masked) == {"b"}
    for mine, other, found in (
        (jnp.array(True), jnp.array(True), {"b"}),
        (jnp.array(True), jnp.array(False), set()),
        (True, jnp.array(False), set()),
    ):
        pair = handlers.mask(model, mask=mine), handlers.mask(guide, mask=other)
        assert integrated(*pair) == found


def test_a_scale_scales_the_divergence():
    p, q = dist.Bernoulli(logits=jnp.array([0.2, -1.0])), dist.Bernoulli(logits=jnp.zeros(2))
    with handlers.seed(rng_seed=0), handlers.scale(scale=2.5), handlers.trace() as model:
        numpyro.sample("b", p)
    with handlers.seed(rng_seed=0), handlers.scale(scale=2.5), handlers.trace() as guide:
        numpyro.sample("b", q)
    ours = kl(guide["b"], model["b"])
    np.testing.assert_allclose(ours, 2.5 * rx.kl_divergence(q, p), rtol=1e-12)


def test_sites_without_an_exact_rule_are_sampled():
    def model():
        numpyro.sample("u", dist.Beta(2.0, 2.0))

    def guide():
        # Its registered rule truncates a series.
        numpyro.sample("u", dist.Kumaraswamy(2.0, 2.0))

    assert integrated(model, guide) == set()
    # NumPyro has no rule for counts.
    assert integrated(COUNTS.model, COUNTS.guide) == set()


def crossed():
    """The model draws b first and a from it; the guide the other way round."""

    def model():
        b = numpyro.sample("b", dist.Bernoulli(0.4))
        a = numpyro.sample("a", dist.Bernoulli(logits=1.5 * b - 0.5))
        numpyro.sample("x", dist.Normal(a + b, 1.0), obs=1.0)

    def guide():
        a = numpyro.sample("a", dist.Bernoulli(0.6))
        numpyro.sample("b", dist.Bernoulli(logits=1.0 - 2.0 * a))

    return model, guide


def test_a_law_that_depends_on_what_comes_later_is_sampled():
    # a's law in the model depends on b, which the guide draws from a; b's is a constant.
    assert integrated(*crossed()) == {"b"}


def test_dependence_through_a_continuous_site_is_seen():
    def model():
        y = numpyro.sample("y", dist.Normal(0.0, 1.0))
        numpyro.sample("u", dist.Normal(y, 1.0))

    def guide():
        u = numpyro.sample("u", dist.Normal(0.0, 1.0))
        numpyro.sample("y", dist.Normal(u, 1.0))

    assert integrated(model, guide) == {"y"}


@pytest.mark.parametrize("estimator", ["score", "rebar"])
def test_a_bound_of_kl_alone_has_no_variance(estimator):
    def model():
        with numpyro.plate("rows", 3):
            numpyro.sample("b", dist.Bernoulli(0.4))

    def guide():
        q = numpyro.param("q", jnp.zeros(3))
        with numpyro.plate("rows", 3):
            numpyro.sample("b", dist.Bernoulli(logits=q))

    elbo = ESTIMATORS[estimator][0](exact_kl=True)
    q = np.array([0.3, -0.5, 2.0])
    p = 1 / (1 + np.exp(-q))
    kl = np.sum(p * np.log(p / 0.4) + (1 - p) * np.log((1 - p) / 0.6))
    slope = p * (1 - p) * (q - np.log(0.4 / 0.6))
    loss = lambda params: elbo.loss(jax.random.key(0), params, model, guide)  # noqa: E731
    value, gradient = jax.jit(jax.value_and_grad(loss))({"q": jnp.asarray(q)})
    assert float(value) == pytest.approx(kl)
    np.testing.assert_allclose(gradient["q"], slope, atol=1e-10)
