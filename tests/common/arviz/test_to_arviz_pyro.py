"""Draws of Pyro programs in one vectorised run."""

from __future__ import annotations

import numpy as np

from relaxppl.common.arviz.request import Request
from relaxppl.pyro.arviz.sampler import Sampler
from tests.common.arviz import arviz_cases as cases


def test_draws_run_together_only_where_they_do_not_mix():
    host = cases.host_of("pyro")

    def program(observed, mixes):
        def body():
            with host.plate("two", 2):
                z = host.sample("z", host.dist.Bernoulli(host.array(0.4)))
            total = z.sum() if mixes else z.sum(-1, keepdim=True)
            if observed:
                law = host.dist.Normal(total, 1.0)
                host.sample("y", law, obs=host.array(1.5).expand(total.shape))

        return body

    for mixes in (False, True):
        programs = (program(True, mixes), program(False, mixes))
        run = Sampler(*programs, None, (), {}, Request())
        run.prototype()
        assert run.vectorises(40) is not mixes
        data = host.to_arviz(*programs, {}, num_draws=40)
        likelihood = data["log_likelihood"]["y"].values.reshape(40)
        total = data["posterior"]["z"].values[0].sum(-1)
        expected = -0.5 * (1.5 - total) ** 2 - 0.5 * np.log(2 * np.pi)
        np.testing.assert_allclose(likelihood, expected, rtol=1e-5)


def test_draws_that_mix_at_rare_values_only_run_in_turn():
    """A flag that one draw in a hundred raises, and that a vectorised run shows to all of them."""
    host = cases.host_of("pyro")

    def guide():
        with host.plate("two", 2):
            return host.sample("z", host.dist.Bernoulli(host.array(0.005)))

    def model():
        host.sample("y", host.dist.Normal(guide().max(), 1.0), obs=host.array(1.5))

    data = host.to_arviz(model, guide, {}, num_draws=800)
    raised = data["posterior"]["z"].values[0].max(-1)
    assert 0 < raised.sum() < 50
    likelihood = data["log_likelihood"]["y"].values[0]
    expected = -0.5 * (1.5 - raised) ** 2 - 0.5 * np.log(2 * np.pi)
    np.testing.assert_allclose(likelihood, expected, rtol=1e-5)


def test_point_masses_that_the_guide_computes_run_together():
    """A batch rounds a product of matrices in another way than one draw does."""
    host = cases.host_of("pyro")
    matrix = host.torch.randn(30, 30, generator=host.torch.Generator().manual_seed(0))

    def guide():
        base = host.sample("base", host.dist.Normal(host.torch.zeros(30), 1.0).to_event(1))
        host.sample("x", host.dist.Delta(base @ matrix).to_event(1))

    def model():
        host.sample("base", host.dist.Normal(host.torch.zeros(30), 1.0).to_event(1))
        host.sample("x", host.dist.Normal(host.torch.zeros(30), 1.0).to_event(1))

    run = Sampler(model, guide, None, (), {}, Request())
    run.prototype()
    assert run.vectorises(500)
