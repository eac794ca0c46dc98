"""The ELBOs under stock SVI: training, errors, extremes."""

from __future__ import annotations

import math

import pyro
import pyro.distributions as dist
import pyro.optim
import pytest
import torch
from pyro.infer import SVI

import relaxppl.pyro as rx
from tests.hosts.elbo.pyro_cases import PLATE, THREE_LEVELS, VECTOR
from tests.hosts.elbo.pyro_corner_cases import COUNTS

ESTIMATORS = {
    "score": (rx.ScoreFunction_ELBO, {"baseline": "average"}),
    "rloo": (rx.RLOO_ELBO, {}),
    "disarm": (rx.DisARM_ELBO, {}),
    "rebar": (rx.REBAR_ELBO, {"learn": True}),
    "relax": (rx.RELAX_ELBO, {"learn": True}),
}


@pytest.fixture(autouse=True)
def _store():
    pyro.clear_param_store()


class Network(torch.nn.Module):
    """A sigmoid belief network whose two layers are modules."""

    def __init__(self):
        super().__init__()
        self.decoder, self.encoder = torch.nn.Linear(4, 6), torch.nn.Linear(6, 4)

    def model(self, x):
        pyro.module("network", self)
        with pyro.plate("data", len(x)):
            b = pyro.sample("b", dist.Bernoulli(x.new_full((4,), 0.5)).to_event(1))
            pyro.sample("x", dist.Bernoulli(logits=self.decoder(b)).to_event(1), obs=x)

    def guide(self, x):
        pyro.module("network", self)
        with pyro.plate("data", len(x)):
            pyro.sample("b", dist.Bernoulli(logits=self.encoder(x)).to_event(1))


@pytest.mark.long
@pytest.mark.parametrize(
    ("estimator", "exact_kl"), [*((name, False) for name in ESTIMATORS), ("rebar", True)]
)
def test_stock_svi_trains_a_network(estimator, exact_kl):
    make, options = ESTIMATORS[estimator]
    elbo, network = make(**options, exact_kl=exact_kl), Network()
    patterns = (torch.rand(4, 6) < 0.5).float()
    x = patterns.repeat(15, 1)
    svi = SVI(network.model, elbo.prepare(network.guide), pyro.optim.Adam({"lr": 0.03}), loss=elbo)
    start = sum(svi.evaluate_loss(x) for _ in range(10))
    for _ in range(120):
        svi.step(x)
    assert sum(svi.evaluate_loss(x) for _ in range(10)) < 0.8 * start
    assert all(parameter.grad is not None for parameter in network.parameters())


def test_elbo_module_trains_by_torch():
    network = Network()
    with pyro.settings.context(module_local_params=True):
        loss = rx.REBAR_ELBO()(_Module(network.model), _Module(network.guide))(torch.ones(3, 6))
    assert loss.ndim == 0
    loss.backward()
    assert network.encoder.weight.grad.abs().sum() > 0


class _Module(torch.nn.Module):
    def __init__(self, fn):
        super().__init__()
        self.fn = fn

    def forward(self, *args):
        return self.fn(*args)


@pytest.mark.parametrize("make", [rx.REBAR_ELBO, rx.RELAX_ELBO, rx.DisARM_ELBO])
def test_integer_and_one_hot_laws_by_probs(make):
    """Laws given by probabilities, on both sides."""

    def model():
        pyro.sample("z", dist.OneHotCategorical(probs=torch.tensor([0.2, 0.3, 0.5])))

    def guide():
        probs = torch.softmax(pyro.param("q", torch.tensor([0.4, 0.1, -0.3])), -1)
        pyro.sample("z", dist.OneHotCategorical(probs=probs))

    make().loss_and_grads(model, guide)
    assert torch.isfinite(pyro.param("q").unconstrained().grad).all()


@pytest.mark.parametrize(
    ("estimator", "temperature"),
    [*((name, 0.05) for name in ESTIMATORS), ("rebar", 10.0), ("relax", 10.0)],
)
def test_float32_extremes(estimator, temperature):
    make, options = ESTIMATORS[estimator]
    if "learn" in options:
        options = {**options, "temperature": temperature}

    def model():
        with pyro.plate("data", 1000, 50):
            b = pyro.sample("b", dist.Bernoulli(logits=torch.linspace(60.0, -60.0, 7)).to_event(1))
            scores = 60.0 * b[..., :3] - 30.0
            z = pyro.sample("z", dist.OneHotCategorical(logits=scores))
            pyro.sample("x", dist.Bernoulli(logits=60.0 * z[..., 0] - 30.0), obs=torch.ones(50))

    def guide():
        q = pyro.param("q", torch.linspace(-60.0, 60.0, 7))
        with pyro.plate("data", 1000, 50):
            b = pyro.sample("b", dist.Bernoulli(logits=q).to_event(1))
            scores = pyro.param("w", torch.tensor([60.0, -60.0, 0.0])) * (b[..., :1] + 0.5)
            pyro.sample("z", dist.OneHotCategorical(logits=scores))

    elbo = make(**options)
    for _ in range(4):
        with pyro.poutine.trace(param_only=True) as capture:
            assert math.isfinite(elbo.loss_and_grads(model, guide))
        for site in capture.trace.nodes.values():
            grad = site["value"].unconstrained().grad
            assert grad is None or torch.isfinite(grad).all(), site["name"]


def test_unsupported_laws_name_the_site_and_the_way_out():
    model, guide = COUNTS.build(2)
    for make in (rx.DisARM_ELBO, rx.REBAR_ELBO, rx.RELAX_ELBO):
        pattern = (
            r"site 'n' is a Binomial.*it takes .*Bernoulli.*one of score, rloo, coupled by infer"
        )
        with pytest.raises(NotImplementedError, match=pattern):
            make().loss_and_grads(model, guide)
    pyro.clear_param_store()
    with pytest.raises(NotImplementedError, match=r"'k' is a Categorical.*OneHotCategorical"):
        rx.REBAR_ELBO().loss_and_grads(*PLATE.build(2))
    with pytest.raises(NotImplementedError, match=r"'k': Categorical has integer values"):
        rx.RELAX_ELBO(control_variate="rebar").loss_and_grads(*PLATE.build(2))


def test_a_model_that_cannot_take_relaxed_values_says_so():
    def guide():
        pyro.sample("z", dist.Bernoulli(torch.sigmoid(pyro.param("q", torch.tensor(0.1)))))

    def other_law():
        pyro.sample("z", dist.Binomial(1, torch.tensor(0.5)))

    with pytest.raises(NotImplementedError, match=r"site 'z' is relaxed, but the model has a Bino"):
        rx.REBAR_ELBO().loss_and_grads(other_law, guide)

    def validating():
        z = pyro.sample("z", dist.Bernoulli(torch.tensor(0.5)))
        dist.Bernoulli(torch.tensor(0.5)).log_prob(z)

    with pytest.raises(ValueError, match="to be within the support") as error:
        rx.REBAR_ELBO().loss_and_grads(validating, guide)
    assert "ran with relaxed values at 'z'" in error.value.__notes__[0]


def test_arguments_are_checked():
    for make, options, pattern in (
        (rx.REBAR_ELBO, {"temperature": 0.0}, "temperature must be positive, got 0.0"),
        (rx.REBAR_ELBO, {"variance_every": 0}, "variance_every must be a positive"),
        (rx.RELAX_ELBO, {"control_variate": "free"}, "control_variate must be 'both'"),
        (rx.ScoreFunction_ELBO, {"baseline": "mean"}, "baseline must be None"),
        (rx.ScoreFunction_ELBO, {"decay": 1.0}, "decay must be in"),
        (rx.RLOO_ELBO, {"num_particles": 1}, "needs num_particles >= 2, got 1"),
    ):
        with pytest.raises(ValueError, match=pattern):
            make(**options)
    with pytest.raises(ValueError, match=r"'b'.*unknown estimator 'best'.*known: score"):
        rx.REBAR_ELBO().loss_and_grads(*VECTOR.build(2, {"b": {"estimator": "best"}}))
    with pytest.raises(ValueError, match=r"'b': rloo compares draws and needs num_particles >= 2"):
        rx.REBAR_ELBO().loss_and_grads(*VECTOR.build(2, {"b": {"estimator": "rloo"}}))
    pyro.clear_param_store()
    with pytest.raises(ValueError, match=r"'a': a network baseline needs the inputs"):
        rx.ScoreFunction_ELBO(baseline="network").loss_and_grads(*THREE_LEVELS.build(2))


def test_guides_without_discrete_sites_work():
    def model():
        u = pyro.sample("u", dist.Normal(0.0, 1.0))
        pyro.sample("x", dist.Normal(u, 1.0), obs=torch.tensor(0.5))

    def guide():
        pyro.sample("u", dist.Normal(pyro.param("q", torch.tensor(0.3)), 1.0))

    for make, options in ESTIMATORS.values():
        assert math.isfinite(make(**options).loss_and_grads(model, guide))
