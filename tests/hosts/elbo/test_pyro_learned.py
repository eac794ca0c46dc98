"""What the estimators learn: the variance's gradient, kept apart from the program's own."""

from __future__ import annotations

import math
import pickle
import warnings

import pyro
import pyro.distributions as dist
import pyro.optim
import pytest
import torch
from pyro.infer import SVI

import relaxppl.pyro as rx
from tests.hosts.elbo.pyro_cases import THREE_LEVELS, TWO_LEVELS, VECTOR

SITES = ("a", "b", "c")


@pytest.fixture(autouse=True)
def _store():
    pyro.clear_param_store()


def offsets(size):
    """Three levels whose logits take an added parameter: its gradient is -h, element by element."""

    def model():
        with pyro.plate("rows", size):
            a = pyro.sample("a", dist.Bernoulli(torch.tensor(0.4, dtype=torch.float64)))
            b = pyro.sample("b", dist.Bernoulli(logits=0.3 * a))
            c = pyro.sample("c", dist.Bernoulli(logits=0.5 * b - 0.2))
            x = torch.full((size,), 0.8, dtype=torch.float64)
            pyro.sample("x", dist.Normal(a * c - b * c + 0.5 * b, 0.5), obs=x)

    def guide():
        h = {n: pyro.param(f"h_{n}", torch.zeros(size, dtype=torch.float64)) for n in SITES}
        with pyro.plate("rows", size):
            a = pyro.sample("a", dist.Bernoulli(logits=0.3 + h["a"]))
            b = pyro.sample("b", dist.Bernoulli(logits=1.2 * a - 0.5 + h["b"]))
            pyro.sample("c", dist.Bernoulli(logits=a - b + h["c"]))

    return model, guide


def gradients(elbo, programs, seed=5):
    pyro.set_rng_seed(seed)
    with pyro.poutine.trace(param_only=True) as capture:
        elbo.loss_and_grads(*programs)
    leaves = {n: s["value"].unconstrained() for n, s in capture.trace.nodes.items()}
    out = {name: leaf.grad.clone() for name, leaf in leaves.items()}
    for leaf in leaves.values():
        leaf.grad = None
    return out


def variance(elbo, programs):
    grads = gradients(elbo, programs)
    return sum(float((grads[f"h_{name}"] ** 2).sum()) for name in SITES)


@pytest.mark.parametrize("coupled", [True, False])
@pytest.mark.parametrize("estimator", ["rebar", "relax"])
def test_parameters_descend_the_summed_square_of_h(estimator, coupled):
    make = {"rebar": rx.REBAR_ELBO, "relax": rx.RELAX_ELBO}[estimator]
    elbo, programs = make(learn=True, coupled=coupled, temperature=0.7), offsets(3)
    grads = gradients(elbo, programs)
    store = pyro.get_param_store()
    own = [name for name in grads if ".estimator." in name]
    assert len(own) == (6 if estimator == "rebar" else 21)
    with torch.no_grad():
        for name in own:
            # Away from where a network starts: its output is zero there.
            noise = torch.randn(store[name].shape, dtype=torch.float64)
            leaf = store[name].unconstrained()
            leaf += 0.2 * noise
    grads = gradients(elbo, programs)
    for name in own:
        leaf, eps = store[name].unconstrained(), 1e-5
        index = (0,) * leaf.ndim
        values = []
        for sign in (1, -1):
            with torch.no_grad():
                leaf[index] += sign * eps
            values.append(variance(elbo, programs))
            with torch.no_grad():
                leaf[index] -= sign * eps
        slope = (values[0] - values[1]) / (2 * eps)
        assert float(grads[name][index]) == pytest.approx(slope, rel=1e-5, abs=1e-6), name


@pytest.mark.parametrize("case", [VECTOR, TWO_LEVELS, THREE_LEVELS], ids=lambda c: c.name)
def test_learning_changes_no_gradient_of_the_program(case):
    programs = case.build(4)
    fixed = gradients(rx.REBAR_ELBO(learn=False), programs)
    learned = gradients(rx.REBAR_ELBO(learn=True), programs)
    assert set(learned) - set(fixed)
    for name, grad in fixed.items():
        torch.testing.assert_close(learned[name], grad)


def test_own_parameters_get_nothing_from_the_bound():
    """Without control variates to learn from, eta = 0 and no network, nothing comes through."""
    grads = gradients(rx.REBAR_ELBO(learn=True, eta=0.0), VECTOR.build(4))
    assert float(grads["b.estimator.temperature"]) == 0.0
    assert float(grads["b.estimator.eta"]) != 0.0


def test_prepare_turns_learning_on():
    programs = VECTOR.build(2)
    elbo = rx.REBAR_ELBO()
    assert not any(".estimator." in name for name in gradients(elbo, programs))
    assert elbo.prepare(programs[1]) is programs[1]
    names = {"b.estimator.temperature", "b.estimator.eta"}
    assert names <= set(gradients(elbo, programs))
    assert not names & set(gradients(rx.REBAR_ELBO(learn=False), programs))


def toy(size, t=0.45):
    """E[(b - t)^2], with the probability itself held still."""

    def model():
        with pyro.plate("rows", size):
            b = pyro.sample("b", dist.Bernoulli(torch.tensor(0.5)))
            pyro.factor("cost", -((b - t) ** 2))

    def guide():
        logits = pyro.param("q", torch.zeros(size))
        with pyro.plate("rows", size):
            pyro.sample("b", dist.Bernoulli(logits=logits))

    return model, guide


@pytest.mark.parametrize(("make", "bar"), [(rx.REBAR_ELBO, 0.75), (rx.RELAX_ELBO, 0.3)])
def test_stock_svi_trains_the_estimator(make, bar):
    model, guide = toy(300)
    elbo = make()
    spread = lambda: float(gradients(elbo, (model, guide))["q"].var())  # noqa: E731
    start = spread()
    prepared = elbo.prepare(guide)
    rates = lambda name: {"lr": 0.02 if "." in name else 0.0}  # noqa: E731
    svi = SVI(model, prepared, pyro.optim.Adam(rates), loss=elbo)
    for _ in range(200):
        svi.step()
    assert spread() < bar * start


@pytest.mark.long
def test_relax_on_the_toy_beats_the_score_function():
    """Grathwohl et al., 2018, figure 1: t = .499; ln Var < -10 within 3,000 steps."""
    model, guide = toy(100, t=0.499)
    elbo = rx.RELAX_ELBO()
    prepared = elbo.prepare(guide)
    rates = lambda name: {"lr": 0.05 if "." in name else 0.0}  # noqa: E731
    svi = SVI(model, prepared, pyro.optim.Adam(rates), loss=elbo)
    for _ in range(600):
        svi.step()
    # At p = 1/2, where the score function's variance is largest: 1.56e-2.
    spread = torch.cat([gradients(elbo, (model, guide), seed)["q"] for seed in range(40)]).var()
    assert float(spread.log()) < -10


def test_temperature_learns_in_some_steps_and_eta_in_all():
    programs = VECTOR.build(2)
    elbo = rx.REBAR_ELBO(learn=True, variance_every=4)
    gradients(elbo, programs)
    touched = [gradients(elbo, programs, seed) for seed in range(60)]
    assert all("b.estimator.eta" in grads for grads in touched)
    count = sum("b.estimator.temperature" in grads for grads in touched)
    assert 6 <= count <= 26


def test_variance_every_makes_up_for_the_steps_left_out():
    programs, name = VECTOR.build(1000), "b.estimator.temperature"

    def slopes(every):
        elbo = rx.REBAR_ELBO(learn=True, temperature=0.7, variance_every=every)
        found = [gradients(elbo, programs, seed).get(name) for seed in range(150)]
        return torch.stack([torch.zeros(()) if g is None else g.float() for g in found])

    every_step, some = slopes(1), slopes(3)
    error = float(((every_step.var() + some.var()) / len(some)).sqrt())
    mean = float(every_step.mean())
    # A third of the mean would not pass.
    assert abs(mean) > 8 * error
    assert abs(float(some.mean()) - mean) < 4 * error


def test_decaying_average_lasts():
    programs = VECTOR.build(50)
    elbo = rx.ScoreFunction_ELBO(baseline="average", decay=0.8, num_particles=2)
    expected = 0.0
    for step in range(5):
        pyro.set_rng_seed(step)
        # With a single discrete site everything is downstream of it.
        loss = elbo.loss_and_grads(*programs)
        expected = 0.8 * expected + 0.2 * -loss / 50
    assert pyro.param("b.baseline.average").item() == pytest.approx(expected)


def test_the_average_has_not_seen_the_draw_that_it_is_taken_from():
    """At one draw of one site: the gradient is -(cost - average of earlier costs)(b - p)."""

    def model():
        b = pyro.sample("b", dist.Bernoulli(torch.tensor(0.4, dtype=torch.float64)))
        pyro.factor("cost", 3.0 * b)

    def guide():
        logits = pyro.param("q", torch.tensor(0.3, dtype=torch.float64))
        pyro.sample("b", dist.Bernoulli(logits=logits))

    elbo = rx.ScoreFunction_ELBO(baseline="average", decay=0.6)
    p = 1.0 / (1.0 + math.exp(-0.3))
    # log p - log q + 3 b tells which b was drawn.
    of_one, of_zero = math.log(0.4 / p) + 3.0, math.log(0.6 / (1.0 - p))
    average, seen = 0.0, set()
    for seed in range(6):
        pyro.set_rng_seed(seed)
        cost = -elbo.loss_and_grads(model, guide)
        b = float(abs(cost - of_one) < abs(cost - of_zero))
        assert cost == pytest.approx(of_one if b else of_zero)
        leaf = pyro.param("q")
        assert float(leaf.grad) == pytest.approx(-(cost - average) * (b - p))
        leaf.grad = None
        average = 0.6 * average + 0.4 * cost
        seen.add(b)
    assert seen == {0.0, 1.0}


def test_average_lowers_the_variance():
    programs = THREE_LEVELS.build(2000)
    plain = gradients(rx.ScoreFunction_ELBO(), programs)
    elbo = rx.ScoreFunction_ELBO(baseline="average")
    for seed in range(10):
        last = gradients(elbo, programs, seed)
    assert sum(g.var() for g in (last[n] for n in plain)) < 0.8 * sum(
        g.var() for g in plain.values()
    )


def test_elbo_pickles():
    elbo = rx.RELAX_ELBO(temperature=0.3)
    elbo.prepare(None)
    again = pickle.loads(pickle.dumps(elbo))
    assert again.estimator == elbo.estimator
    programs = VECTOR.build(2)
    assert "b.estimator.temperature" in gradients(again, programs)


@pytest.mark.parametrize("estimator", ["relax", "score"])
def test_networks_follow_the_scale_of_their_site(estimator):
    """A subsampled plate multiplies the costs; all of the gradient is multiplied with them."""
    elbo = {
        "relax": rx.RELAX_ELBO(learn=True, control_variate="network", hidden=3),
        "score": rx.ScoreFunction_ELBO(baseline="network", hidden=3),
    }[estimator]
    infer = {"b": {"estimator_input": torch.tensor([0.3, -1.0], dtype=torch.float64)}}
    programs = VECTOR.build(1, infer)
    gradients(elbo, programs)
    store = pyro.get_param_store()
    with torch.no_grad():
        for name in store:
            if name.startswith("b."):
                store[name].unconstrained().add_(0.3)

    def scaled(factor):
        return gradients(elbo, [pyro.poutine.scale(f, factor) for f in programs])["q"]

    torch.testing.assert_close(scaled(50.0), 50.0 * scaled(1.0))


def test_a_network_takes_a_scale_of_more_dimensions_than_its_plates():
    """The plate is the outer of two dimensions, and so is what the scale varies over."""
    weight = torch.tensor([[1.0], [2.0]])

    def model():
        with pyro.plate("outer", 2, dim=-2), pyro.poutine.scale(scale=weight):
            z = pyro.sample("z", dist.Bernoulli(torch.full((2, 1), 0.3)))
            pyro.sample("x", dist.Normal(z, 1.0), obs=torch.ones(2, 1))

    def guide():
        logits = pyro.param("q", torch.zeros(2, 1))
        with pyro.plate("outer", 2, dim=-2), pyro.poutine.scale(scale=weight):
            pyro.sample("z", dist.Bernoulli(logits=logits))

    gradient = gradients(rx.RELAX_ELBO(learn=True), (model, guide))
    assert gradient["q"].shape == (2, 1)
    assert gradient["z.estimator.weight_out"].isfinite().all()


def test_a_loop_of_ones_own_trains_what_the_estimator_learns_or_is_told():
    model, guide = offsets(2)

    def loop(hand_on, steps):
        pyro.clear_param_store()
        elbo = rx.REBAR_ELBO()
        elbo.prepare(guide)
        elbo.differentiable_loss(model, guide)
        own = elbo.parameters()
        assert len(own) == 6
        leaves = [pyro.param(f"h_{name}").unconstrained() for name in SITES]
        optimiser = torch.optim.Adam([*leaves, *(own if hand_on else [])], lr=0.05)
        for _ in range(steps):
            optimiser.zero_grad()
            elbo.differentiable_loss(model, guide).backward()
            optimiser.step()
        return pyro.param("a.estimator.temperature").item()

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert loop(True, 10) != 0.5
    with pytest.warns(UserWarning, match=r"a\.estimator\.temperature.*elbo\.parameters\(\)"):
        assert loop(False, 100) == 0.5
