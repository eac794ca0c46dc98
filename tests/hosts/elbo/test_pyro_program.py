"""How often a program runs, what its terms depend on, and what is drawn again."""

from __future__ import annotations

import pyro
import pyro.distributions as dist
import pyro.poutine as poutine
import pytest
import torch

import relaxppl.pyro as rx
from relaxppl.estimators.program import levels, reward
from relaxppl.pyro.elbo.program import Program
from tests.hosts.elbo.pyro_cases import SHARED, THREE_LEVELS, TWO_LEVELS, VECTOR
from tests.hosts.elbo.pyro_corner_cases import MASKED


@pytest.fixture(autouse=True)
def _store():
    pyro.clear_param_store()


def counted(case, elbo):
    """Returns how often one gradient runs the model and the guide."""
    calls = {"model": 0, "guide": 0}

    def counting(name, fn):
        def wrapped():
            calls[name] += 1
            return fn()

        return wrapped

    model, guide = case.build(2)
    elbo.loss_and_grads(model, guide)  # The first verifies the dependencies too.
    elbo.loss_and_grads(counting("model", model), counting("guide", guide))
    return calls["model"], calls["guide"]


@pytest.mark.parametrize("case", [VECTOR, TWO_LEVELS, THREE_LEVELS], ids=lambda c: c.name)
def test_evaluations_are_those_that_the_levels_imply(case):
    depth = case.depth
    # Of a guide's last level nothing is downstream, so the guide does not run for it.
    again = depth - 1
    assert counted(case, rx.ScoreFunction_ELBO()) == (1, 1)
    assert counted(case, rx.RLOO_ELBO(num_particles=3)) == (3, 3)
    assert counted(case, rx.DisARM_ELBO()) == (1 + depth, 1 + again)
    assert counted(case, rx.REBAR_ELBO()) == (1 + depth, 1 + again)
    assert counted(case, rx.REBAR_ELBO(learn=True)) == (1 + depth, 1 + again)
    assert counted(case, rx.REBAR_ELBO(coupled=False)) == (1 + 2 * depth, 1 + 2 * again)
    assert counted(case, rx.RELAX_ELBO()) == (1 + depth, 1 + again)
    assert counted(case, rx.RELAX_ELBO(control_variate="network")) == (1, 1)


def test_independent_sites_share_a_level():
    def model():
        a = pyro.sample("a", dist.Bernoulli(0.5))
        b = pyro.sample("b", dist.Bernoulli(0.4))
        pyro.sample("x", dist.Normal(a + b, 1.0), obs=torch.tensor(1.0))

    def guide():
        pyro.sample("a", dist.Bernoulli(0.3))
        pyro.sample("b", dist.Bernoulli(0.2))

    program = Program(model, guide, (), {})
    program.run()
    assert levels(program.sites, ["a", "b"]) == [("a", "b")]


def test_levels_see_through_continuous_sites_and_plain_code():
    program = Program(*THREE_LEVELS.build(2), (), {})
    program.run()
    assert levels(program.sites, ["a", "b", "c"]) == [("a",), ("b",), ("c",)]
    # Of the group {a, c} alone, c is one below a.
    assert levels(program.sites, ["a", "c"]) == [("a",), ("c",)]
    assert program.sites["a"].upstream == frozenset()
    assert program.sites["c"].upstream == {"a", "b"}
    assert program.downstream(frozenset("a")) == {"y", "b", "c"}
    deps = {(term.guide, term.name): term.deps for term in program.terms}
    assert deps[False, "u"] == deps[True, "u"] == frozenset()
    assert deps[False, "y"] == {"a"}
    assert deps[False, "c"] == {"a", "b", "c"}
    assert deps[False, "x"] == {"a", "b", "c"}


def test_evaluating_where_the_first_run_was_returns_the_same_terms():
    """Held sites keep their values, the others are drawn again with the same random numbers."""
    program = Program(*THREE_LEVELS.build(4), (), {})
    program.run()
    before = torch.get_rng_state()
    terms = program.evaluate({"a": program.sites["a"].value})
    assert torch.equal(before, torch.get_rng_state())
    first = {(term.guide, term.name): term.value for term in program.terms if "a" in term.deps}
    assert {(term.guide, term.name) for term in terms} == set(first)
    for term in terms:
        torch.testing.assert_close(term.value, first[term.guide, term.name])


def test_relaxed_terms_extend_the_hard_ones():
    """At hard values the relaxed evaluation is the hard one, masks and scales included."""
    for case in (SHARED, MASKED, TWO_LEVELS):
        pyro.clear_param_store()
        program = Program(*case.build(3), (), {})
        program.run()
        name = list(program.sites)[-1]
        terms = program.evaluate({name: program.sites[name].value}, lambda site, fn: None)
        first = {(term.guide, term.name): term.value for term in program.terms}
        for term in terms:
            torch.testing.assert_close(term.value, first[term.guide, term.name])


def test_rewards_are_reduced_to_the_plates_of_the_site():
    def model():
        with pyro.plate("outer", 3, dim=-2):
            a = pyro.sample("a", dist.Bernoulli(torch.full((3, 1), 0.5)))
            with pyro.plate("inner", 4, dim=-1):
                b = pyro.sample("b", dist.Bernoulli(torch.full((3, 4), 0.5)))
                pyro.sample("x", dist.Normal(a + b, 1.0), obs=torch.arange(12.0).reshape(3, 4))
        with pyro.plate("other", 5, dim=-1):
            pyro.sample("y", dist.Normal(b.sum(), 1.0), obs=torch.arange(5.0))

    def guide():
        with pyro.plate("outer", 3, dim=-2):
            pyro.sample("a", dist.Bernoulli(torch.full((3, 1), 0.4)))
            with pyro.plate("inner", 4, dim=-1):
                pyro.sample("b", dist.Bernoulli(torch.full((3, 4), 0.4)))

    program = Program(model, guide, (), {})
    program.run()
    a, b = program.sites["a"], program.sites["b"]
    log = lambda p, x: torch.where(x > 0, torch.tensor(p), torch.tensor(1 - p)).log()  # noqa: E731
    x = dist.Normal(a.value + b.value, 1.0).log_prob(torch.arange(12.0).reshape(3, 4))
    y = dist.Normal(b.value.sum(), 1.0).log_prob(torch.arange(5.0)).sum()
    of_a = log(0.5, a.value) - log(0.4, a.value) + x.sum(-1, keepdim=True)
    of_b = log(0.5, b.value) - log(0.4, b.value) + x + y
    torch.testing.assert_close(reward(program, a), of_a)
    torch.testing.assert_close(reward(program, b), of_b)


def test_undeclared_dimensions_are_summed():
    """Without a plate every element shares one cost, whatever the host's validation says."""

    def model():
        b = pyro.sample("b", dist.Bernoulli(torch.full((3,), 0.5)))
        pyro.sample("x", dist.Normal(b, 1.0), obs=torch.ones(3))

    def guide():
        pyro.sample("b", dist.Bernoulli(torch.full((3,), 0.4)))

    program = Program(model, guide, (), {})
    with pyro.validation_enabled(False):
        program.run()
    site = program.sites["b"]
    total = sum(term.value.sum() for term in program.terms)
    torch.testing.assert_close(reward(program, site).reshape(()), total)


def test_draws_of_rloo_share_the_subsample():
    seen = []

    def model():
        with pyro.plate("data", 50, 5) as rows:
            seen.append(rows.clone())
            b = pyro.sample("b", dist.Bernoulli(torch.tensor(0.5)))
            pyro.sample("x", dist.Normal(b, 1.0), obs=torch.ones(5))

    def guide():
        with pyro.plate("data", 50, 5) as rows:
            seen.append(rows.clone())
            pyro.sample("b", dist.Bernoulli(torch.sigmoid(pyro.param("q", torch.tensor(0.0)))))

    elbo = rx.RLOO_ELBO(num_particles=3)
    elbo.loss_and_grads(model, guide)
    seen.clear()
    elbo.loss_and_grads(model, guide)
    assert len(seen) == 6
    assert all(torch.equal(rows, seen[0]) for rows in seen)
    elbo = rx.REBAR_ELBO(num_particles=2)
    elbo.loss_and_grads(model, guide)
    seen.clear()
    elbo.loss_and_grads(model, guide)
    # Particles of the others see data of their own; each one's evaluations see the same.
    assert torch.equal(seen[0], seen[1])
    assert torch.equal(seen[0], seen[2]) or torch.equal(seen[0], seen[4])
    assert not all(torch.equal(rows, seen[0]) for rows in seen)


def test_observed_and_auxiliary_sites_count():
    def model():
        b = pyro.sample("b", dist.Bernoulli(0.5))
        pyro.sample("x", dist.Normal(b, 1.0), obs=torch.tensor(0.3))
        pyro.deterministic("twice", 2 * b)

    def guide():
        u = pyro.sample("u", dist.Normal(0.0, 1.0), infer={"is_auxiliary": True})
        pyro.sample("b", dist.Bernoulli(logits=u))

    with poutine.scale(scale=2.0):
        program = Program(model, guide, (), {})
        program.run()
    assert {(term.guide, term.name) for term in program.terms} == {
        (False, "b"),
        (False, "x"),
        (False, "twice"),
        (True, "u"),
        (True, "b"),
    }
    torch.testing.assert_close(
        next(t.value for t in program.terms if t.name == "u"),
        -2.0 * dist.Normal(0.0, 1.0).log_prob(program.guide_trace.nodes["u"]["value"]),
    )
