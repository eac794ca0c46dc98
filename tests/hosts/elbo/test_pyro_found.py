"""Programs whose gradient was once wrong without a word."""

from __future__ import annotations

import pyro
import pyro.distributions as dist
import pytest
import torch

import relaxppl.pyro as rx
from tests.hosts.elbo import pyro_found_cases as found
from tests.hosts.elbo.pyro_unbiased import measure
from tests.hosts.elbo.test_pyro_unbiased import ESTIMATORS

ROWS = [
    *((found.RETURNING, e, {}) for e in ("score", "rloo", "disarm", "arms", "local", "rebar")),
    *((found.PRIOR_DRAWN, e, {}) for e in ("disarm", "local", "rebar")),
    *((found.SCALED, e, {}) for e in ("score", "rebar")),
    (found.JUMPING_LAW, "rebar", {}),
    (found.JUMPING_LAW, "rebar", {"exact_kl": True}),
    *((found.NOISY, e, {}) for e in ("disarm", "arms", "local")),
]


@pytest.mark.parametrize(("case", "estimator", "more"), ROWS, ids=lambda x: getattr(x, "name", x))
def test_mean_gradient_is_exact(case, estimator, more):
    make, options = ESTIMATORS[estimator]
    outcome = measure(make(**options, **more), case, draws=20_000)
    assert outcome.worst < 4
    assert outcome.error < 0.05


def test_the_law_of_a_site_that_is_not_relaxed_may_jump():
    def model():
        a = pyro.sample("a", dist.Bernoulli(torch.tensor(0.5)))
        pyro.sample("n", dist.Poisson(torch.where(a > 0.5, 3.0, 0.5)))

    def guide():
        pyro.sample("a", dist.Bernoulli(logits=pyro.param("q", torch.tensor(0.2))))
        pyro.sample("n", dist.Poisson(torch.tensor(1.0)), infer={"estimator": "score"})

    (program,) = rx.REBAR_ELBO(learn=False).programs(model, guide, (), {})
    (term,) = [term for term in program.terms if term.name == "n" and not term.guide]
    assert term.jumps == {"a"}


@pytest.mark.parametrize("drawn_by", ["guide", "model"])
def test_a_real_variable_or_one_of_the_model_alone_takes_a_dependence_out_of_a_plate(drawn_by):
    def between(z):
        return pyro.sample("u", dist.Normal(z.sum(-1), 1.0))

    def model():
        rows = pyro.plate("rows", 2)
        with rows:
            z = pyro.sample("z", dist.Bernoulli(torch.tensor(0.4)))
        u = between(z)
        with rows:
            pyro.sample("x", dist.Normal(u, 1.0), obs=torch.zeros(2))
            pyro.sample("y", dist.Normal(z, 1.0), obs=torch.zeros(2))

    def guide():
        with pyro.plate("rows", 2):
            z = pyro.sample("z", dist.Bernoulli(logits=pyro.param("q", torch.zeros(2))))
        if drawn_by == "guide":
            between(z)

    (program,) = rx.DisARM_ELBO().programs(model, guide, (), {})
    left = {t.name: {f.name for f in t.left.get("z", ())} for t in program.terms if not t.guide}
    assert left["x"] == {"rows"}
    own = [term for term in program.terms if term.guide and term.name == "z"]
    assert not any(term.left for term in own)


def test_what_a_guide_draws_before_and_between_its_sites_is_drawn_again():
    noise = []

    def model():
        for name in ("a", "b", "c"):
            pyro.sample(name, dist.Bernoulli(torch.tensor(0.4)))

    def guide():
        first = torch.rand(())
        a = pyro.sample("a", dist.Bernoulli(logits=pyro.param("q", torch.tensor(0.2))))
        torch.rand(1 + int(a))  # The draws go on from another place where a is another.
        b = pyro.sample("b", dist.Bernoulli(logits=a + first))
        noise.append(torch.stack([first, torch.rand(())]))
        pyro.sample("c", dist.Bernoulli(logits=b - noise[-1].sum()))

    (program,) = rx.DisARM_ELBO().programs(model, guide, (), {})
    for value in (0.0, 1.0):
        program.evaluate({"a": torch.tensor(value)})
    assert len(noise) == 3
    assert all(torch.equal(noise[0], again) for again in noise)
