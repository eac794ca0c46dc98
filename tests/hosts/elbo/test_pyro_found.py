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
