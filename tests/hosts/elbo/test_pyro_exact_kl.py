"""exact_kl integrates the terms it may, leaves the others, and stays unbiased."""

from __future__ import annotations

import pyro
import pyro.distributions as dist
import pyro.poutine as poutine
import pytest
import torch

import relaxppl.pyro as rx
from relaxppl.pyro.elbo.program import Program
from tests.hosts.elbo.pyro_cases import CASES, PLATE, SHARED, THREE_LEVELS, VECTOR
from tests.hosts.elbo.pyro_corner_cases import COUNTS, MASKED
from tests.hosts.elbo.pyro_unbiased import measure

ESTIMATORS = {
    "score": rx.ScoreFunction_ELBO,
    "rloo": rx.RLOO_ELBO,
    "disarm": rx.DisARM_ELBO,
    "rebar": rx.REBAR_ELBO,
    "relax": rx.RELAX_ELBO,
}


@pytest.fixture(autouse=True)
def _store():
    pyro.clear_param_store()


def integrated(model, guide):
    """Returns the sites whose two terms became one."""
    pyro.clear_param_store()
    program = Program(model, guide, (), {}, exact_kl=True)
    program.run()
    sites = {name for name, n in program.guide_trace.nodes.items() if n["type"] == "sample"}
    return sites - {term.name for term in program.terms if term.guide}


@pytest.mark.parametrize(
    ("case", "estimator"),
    [(case, "rebar") for case in CASES if "levels" not in case]
    + [(case, name) for case in ("two levels", "three levels") for name in ESTIMATORS]
    + [("subsampled plate", "disarm"), ("masked", "score")],
)
def test_mean_gradient_is_exact(case, estimator):
    infer = CASES[case].infer if estimator == "rebar" else {}
    outcome = measure(ESTIMATORS[estimator](exact_kl=True), CASES[case], infer)
    assert outcome.worst < 4
    assert outcome.error < 0.05


def test_loss_stays_the_negative_bound():
    elbo, programs = rx.REBAR_ELBO(exact_kl=True), THREE_LEVELS.build(500)
    values = torch.tensor([elbo.loss(*programs) / 500 for _ in range(16)])
    assert abs(float(values.mean()) - THREE_LEVELS.gradient()[0]) < 4 * float(values.std()) / 4


def test_sites_whose_kl_is_exact():
    assert integrated(*VECTOR.build(2)) == {"b"}
    assert integrated(*THREE_LEVELS.build(2)) == {"u", "a", "y", "b", "c"}
    assert integrated(*PLATE.build(2)) == {"z", "k"}
    assert integrated(*MASKED.build(2)) == {"b"}


def test_sites_that_are_weighted_differently_are_sampled():
    assert integrated(*SHARED.build(2)) == set()
    model, guide = VECTOR.build(2)
    assert integrated(model, poutine.scale(guide, 2.0)) == set()
    assert integrated(poutine.scale(model, 2.0), poutine.scale(guide, 2.0)) == {"b"}
    mask = torch.tensor([[True], [False]])
    assert integrated(model, poutine.mask(guide, mask)) == set()
    assert integrated(poutine.mask(model, mask.clone()), poutine.mask(guide, mask)) == {"b"}
    assert integrated(poutine.mask(model, True), poutine.mask(guide, True)) == {"b"}
    assert integrated(poutine.mask(model, False), poutine.mask(guide, True)) == set()
    assert integrated(poutine.mask(model, mask), poutine.mask(guide, True)) == set()


def test_sites_without_a_rule_are_sampled():
    # Binomials have a rule in torch, Poissons too; a truncated uniform against a normal has none.
    assert integrated(*COUNTS.build(2)) == {"n", "k"}

    def model():
        pyro.sample("u", dist.Beta(2.0, 2.0))

    def guide():
        pyro.sample("u", dist.Kumaraswamy(torch.tensor(2.0), torch.tensor(2.0)))

    assert integrated(model, guide) == set()


def crossed(size):
    """The model draws b first and a from it; the guide the other way round."""

    def model():
        with pyro.plate("rows", size):
            b = pyro.sample("b", dist.Bernoulli(torch.tensor(0.4)))
            a = pyro.sample("a", dist.Bernoulli(logits=1.5 * b - 0.5))
            pyro.sample("x", dist.Normal(a + b, 1.0), obs=torch.ones(size))

    def guide():
        with pyro.plate("rows", size):
            a = pyro.sample("a", dist.Bernoulli(torch.tensor(0.6)))
            pyro.sample("b", dist.Bernoulli(logits=1.0 - 2.0 * a))

    return model, guide


def test_a_law_that_depends_on_what_comes_later_is_sampled():
    # a's law in the model depends on b, which the guide draws from a; b's is a constant.
    assert integrated(*crossed(3)) == {"b"}


def test_dependence_through_a_continuous_site_is_seen():
    def model():
        y = pyro.sample("y", dist.Normal(0.0, 1.0))
        pyro.sample("u", dist.Normal(y, 1.0))

    def guide():
        u = pyro.sample("u", dist.Normal(0.0, 1.0))
        pyro.sample("y", dist.Normal(u, 1.0))

    assert integrated(model, guide) == {"y"}


def test_it_lowers_the_variance():
    for make in (rx.ScoreFunction_ELBO, rx.DisARM_ELBO):
        sampled = measure(make(), VECTOR, calls=1).variance
        assert measure(make(exact_kl=True), VECTOR, calls=1).variance < sampled


def test_a_bound_of_kl_alone_has_no_variance():
    def model():
        with pyro.plate("rows", 3):
            pyro.sample("b", dist.Bernoulli(torch.tensor(0.4)))

    def guide():
        q = pyro.param("q", torch.tensor([0.3, -0.5, 2.0]))
        with pyro.plate("rows", 3):
            pyro.sample("b", dist.Bernoulli(logits=q))

    for make in ESTIMATORS.values():
        pyro.clear_param_store()
        loss = make(exact_kl=True).loss_and_grads(model, guide)
        q = torch.tensor([0.3, -0.5, 2.0], requires_grad=True)
        kl = torch.distributions.kl_divergence(
            torch.distributions.Bernoulli(logits=q), torch.distributions.Bernoulli(0.4)
        ).sum()
        assert loss == pytest.approx(kl.item(), rel=1e-5)
        torch.testing.assert_close(
            pyro.param("q").unconstrained().grad, torch.autograd.grad(kl, q)[0]
        )
