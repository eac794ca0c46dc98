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
        assert run.vectorises() is not mixes
        data = host.to_arviz(*programs, {}, num_draws=40)
        likelihood = data["log_likelihood"]["y"].values.reshape(40)
        total = data["posterior"]["z"].values[0].sum(-1)
        expected = -0.5 * (1.5 - total) ** 2 - 0.5 * np.log(2 * np.pi)
        np.testing.assert_allclose(likelihood, expected, rtol=1e-5)
