"""A traced step on Pyro: the exact gradient, and no number of one step kept for the next."""

from __future__ import annotations

import numpy as np
import pyro
import pyro.distributions as dist
import pyro.infer
import pyro.optim
import pytest
import torch
from pyro.infer import SVI

import relaxppl.pyro as rx
from relaxppl.pyro.compiled import Compiled
from tests.hosts.elbo.pyro_cases import TWO_LEVELS
from tests.hosts.elbo.pyro_unbiased import measure

ELBOS = {
    "rloo": rx.RLOO_ELBO(3),
    "disarm": rx.DisARM_ELBO(),
    "relax": rx.RELAX_ELBO(learn=True, hidden=3),
}


@pytest.mark.parametrize("name", ["rloo", "disarm", pytest.param("relax", marks=pytest.mark.long)])
def test_the_mean_gradient_is_exact(name):
    outcome = measure(Compiled(ELBOS[name]), TWO_LEVELS, draws=10_000, calls=7)
    assert outcome.worst < 4
    assert outcome.error < 0.05


@pytest.fixture
def cleared():
    pyro.clear_param_store()
    pyro.set_rng_seed(0)


def test_each_step_draws_a_subsample_of_its_own(cleared):
    data = torch.arange(5.0)

    def shared(z):
        with pyro.plate("rows", 5, subsample_size=2) as rows:
            pyro.sample("x", dist.Normal(z, 1.0), obs=data[rows])

    def model():
        shared(pyro.sample("z", dist.Bernoulli(torch.tensor(0.5))))

    def guide():
        pyro.sample("z", dist.Bernoulli(logits=pyro.param("logit", torch.tensor(9.0))))

    traced = Compiled(rx.DisARM_ELBO())
    losses = {round(traced.loss_and_grads(model, guide), 2) for _ in range(30)}
    assert len(losses) > 5  # Of ten pairs of rows, three of whose sums come twice.


def model(x, weight=1.0):
    scale = pyro.param("scale", torch.tensor(0.7))
    with pyro.plate("rows", len(x)):
        z = pyro.sample("z", dist.Bernoulli(logits=torch.zeros(len(x))))
        pyro.sample("x", dist.Normal(weight * scale * z, 1.0), obs=x)


def guide(x, weight=1.0):
    logit = pyro.param("logit", torch.tensor(0.2))
    with pyro.plate("rows", len(x)):
        pyro.sample("z", dist.Bernoulli(logits=logit + x))


@pytest.mark.parametrize("make", [rx.DisARM_ELBO, lambda: rx.REBAR_ELBO(learn=False)])
def test_a_traced_step_is_the_programs_own(cleared, make):
    """With the same random numbers, at other data and at parameters that have moved."""

    def trained(traced):
        pyro.clear_param_store()
        elbo = make()
        svi = SVI(model, guide, pyro.optim.Adam({"lr": 0.05}), elbo)
        if traced:
            svi.loss_and_grads = Compiled(elbo).loss_and_grads
        data = torch.linspace(-1.0, 2.0, 12).reshape(4, 3)
        losses = []
        for step in range(8):
            pyro.set_rng_seed(step)
            losses.append(svi.step(data[step % 4]))
        return losses, pyro.param("logit").item(), pyro.param("scale").item()

    for one, other in zip(trained(True), trained(False), strict=True):
        assert one == pytest.approx(other, rel=1e-4)


def test_another_kind_of_argument_is_traced_anew(cleared):
    traced = Compiled(rx.DisARM_ELBO())
    for weight, rows in ((1.0, 3), (1.0, 3), (1.0, 5), (1.0, 5), (3.0, 5), (3.0, 5), (1.0, 3)):
        traced.loss_and_grads(model, guide, torch.ones(rows), weight=weight)
    assert len(traced._traced) == 3
    # Other parameters are no longer those that the graph refers to.
    logit = pyro.param("logit").unconstrained()
    pyro.clear_param_store()
    logit.grad = None
    for _ in range(3):
        traced.loss_and_grads(model, guide, torch.ones(3))
    assert logit.grad is None
    assert pyro.param("logit").unconstrained().grad is not None


def test_a_module_that_is_no_longer_in_training_is_traced_anew(cleared):
    class Halved(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.noise = torch.nn.Dropout(0.5)

        def model(self, x):
            with pyro.plate("rows", len(x)):
                z = pyro.sample("z", dist.Bernoulli(0.5 * torch.ones(len(x))))
                seen = self.noise(torch.ones(len(x)))
                pyro.sample("x", dist.Normal(z + 100.0 * seen, 1.0), obs=x)

    module, traced, data = Halved(), Compiled(rx.DisARM_ELBO()), 100.0 + torch.zeros(3)
    noisy = [traced.loss_and_grads(module.model, guide, data) for _ in range(4)]
    module.eval()
    quiet = [traced.loss_and_grads(module.model, guide, data) for _ in range(4)]
    assert min(noisy) > 1000 > max(quiet)


@pytest.mark.parametrize(
    "read",
    [
        lambda x: float(x.sum()),
        lambda x: 1.0 if x.sum() > 0 else 2.0,
        lambda x: float(np.sum(x.numpy())),
        lambda x: x.tolist()[0],
    ],
)
def test_a_number_read_from_a_tensor_is_refused(cleared, read):
    def reading(x):
        model(x, read(x))

    traced = Compiled(rx.DisARM_ELBO())
    traced.loss_and_grads(reading, guide, torch.ones(3))
    with pytest.raises(RuntimeError, match="reads a number out of a tensor in Python"):
        traced.loss_and_grads(reading, guide, torch.ones(3))


def test_a_number_that_python_counts_is_found(cleared):
    count = 0

    def counting(x):
        nonlocal count
        count += 1
        model(x, float(count))

    traced = Compiled(rx.ScoreFunction_ELBO())
    for _ in range(10):
        traced.loss_and_grads(counting, guide, torch.ones(3))
    with pytest.raises(RuntimeError, match="something besides its tensors"):
        traced.loss_and_grads(counting, guide, torch.ones(3))


@pytest.mark.parametrize(
    "elbo",
    [rx.ScoreFunction_ELBO(baseline="average"), rx.REBAR_ELBO(learn=True, variance_every=4)],
)
def test_what_an_estimator_keeps_in_python_is_refused(cleared, elbo):
    with pytest.raises(NotImplementedError, match=r"site 'z'.*does not do the same in each step"):
        Compiled(elbo).loss_and_grads(model, guide, torch.ones(3))


def test_the_hosts_own_losses_are_refused():
    with pytest.raises(TypeError, match="JitTrace_ELBO"):
        Compiled(pyro.infer.TraceGraph_ELBO())


def test_fit(cleared):
    svi = SVI(model, guide, pyro.optim.Adam({"lr": 0.05}), rx.REBAR_ELBO(learn=True))
    plain = svi.loss_and_grads
    result = rx.fit(svi, 120, 2.0 * torch.ones(20), progress=False, compile=True)
    assert result.losses[-20:].mean() < result.losses[:20].mean() - 3.0
    assert svi.loss_and_grads == plain
    assert result.params["z.estimator.temperature"] != 0.5
