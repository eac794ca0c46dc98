"""Parameters read off a distribution, and a distribution made while torch.jit.trace records."""

from __future__ import annotations

import numpy as np
import pyro
import pyro.distributions as pdist
import pyro.infer
import pytest
import torch

import relaxppl.pyro as rp
from tests.adapter import HOSTS, Host, is_static
from tests.relaxations.case import Case, reference_samples
from tests.relaxations.cases import CASES, both, first_of_each, name_of

pytestmark = [
    pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning"),
    pytest.mark.filterwarnings("ignore:`torch.jit.trace` is deprecated:DeprecationWarning"),
]
OURS = [case for case in CASES if case.name != "OneHotCategorical"]


@pytest.mark.parametrize(("host", "case"), both(OURS), ids=name_of)
def test_every_parameter_of_an_instance_can_be_read_and_is_as_it_must_be(host: Host, case: Case):
    dist = host.make(case.name, case.params)
    given = [n for n, v in case.params.items() if not is_static(v)]
    assert set(given) <= set(dist.arg_constraints)
    for name, constraint in dist.arg_constraints.items():
        value = getattr(dist, name)
        if name in given:
            shape = np.shape(case.params[name])
            found = host.numpy(value)
            expected = np.broadcast_to(case.params[name], found.shape)
            np.testing.assert_array_equal(found, expected)
            assert found.shape[found.ndim - len(shape) :] == shape or host.name == "pyro"
        satisfied = constraint(value) if host.name == "numpyro" else constraint.check(value)
        assert bool(satisfied.all())


@pytest.mark.parametrize("host", HOSTS.values(), ids=name_of)
def test_a_class_lists_every_parameter_that_it_takes(host: Host):
    listed = set(host.rx.LogisticNormalSoftmax.arg_constraints)
    taken = {"loc", "scale", "scale_tril", "covariance_matrix", "cov_factor", "cov_diag"}
    assert listed == taken


@pytest.mark.parametrize("host", HOSTS.values(), ids=name_of)
def test_values_are_enumerated_over_their_own_batch_alone(host: Host):
    logits = np.zeros(3)
    for values, own in ((np.arange(3.0), (1, 1)), (np.arange(6.0).reshape(2, 3), (1, 2))):
        params = {"values": values, "temperature": np.ones((4, 2)), "logits": logits, "hard": True}
        dist = host.make("GeneralizedGumbelSoftmax", params)
        narrow = host.numpy(dist.enumerate_support(expand=False))
        assert narrow.shape == (3, *own)
        wide = host.numpy(dist.enumerate_support())
        np.testing.assert_array_equal(wide, np.broadcast_to(narrow, (3, 4, 2)))
        np.testing.assert_array_equal(wide[:, 0, -1], np.atleast_2d(values)[-1])
        more = dist.expand((5, 4, 2))
        assert host.numpy(more.enumerate_support(expand=False)).shape == (3, 1, *own)


# torch.jit.trace hands sizes round as tensors.


@pytest.mark.parametrize("case", first_of_each([c for c in OURS if c.density]), ids=str)
def test_a_traced_law_is_that_of_its_arguments(case: Case):
    host = HOSTS["pyro"]
    given = host.arrays(case.params)
    static = case.static
    names = [n for n in given if n not in static]
    value = torch.tensor(reference_samples(case, 0, 2))
    noise = host.build(case.name, given).draw_noise((2,))

    def scores(*arrays):
        dist = getattr(rp, case.name)(**dict(zip(names, arrays, strict=True)), **static)
        return dist.from_noise(noise), dist.log_prob(value)

    arrays = [given[n] for n in names]
    traced = torch.jit.trace(scores, tuple(arrays), check_trace=False)
    ranks = [given[n].ndim - case.ranks.get(n, 0) for n in names]
    other = [a.flip(0) if rank else a for a, rank in zip(arrays, ranks, strict=True)]
    for found, expected in zip(traced(*other), scores(*other), strict=True):
        torch.testing.assert_close(found, expected)
    assert not all(map(torch.equal, scores(*other), scores(*arrays)))


def test_a_jitted_elbo_takes_correlated_gates():
    R = torch.tensor([[1.0, 0.4], [0.4, 1.0]])

    def law(logits):
        return rp.CorrelatedRelaxedBernoulli(0.5, logits=logits, correlation_matrix=R)

    def model():
        z = pyro.sample("z", law(torch.zeros(2)))
        pyro.sample("x", pdist.Normal(z.sum(), 0.3), obs=torch.tensor(1.6))

    def guide():
        pyro.sample("z", law(pyro.param("logits", torch.zeros(2))))

    pyro.clear_param_store()
    elbo = pyro.infer.JitTrace_ELBO(ignore_jit_warnings=True)
    svi = pyro.infer.SVI(model, guide, pyro.optim.Adam({"lr": 0.05}), elbo)
    losses = [svi.step() for _ in range(100)]
    assert np.mean(losses[-30:]) < np.mean(losses[:30])
    assert (pyro.param("logits") > 0.2).all()
    pyro.clear_param_store()


def test_a_correlation_matrix_of_another_size_is_refused_while_tracing_too():
    def make(logits):
        matrix = torch.eye(3)
        return rp.CorrelatedRelaxedBernoulli(0.5, logits=logits, correlation_matrix=matrix).logits

    with pytest.raises(ValueError, match=r"logits \(2,\) and corr"):
        torch.jit.trace(make, torch.zeros(2))
