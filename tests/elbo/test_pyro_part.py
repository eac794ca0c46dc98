"""The variance's objective on a random part of the batch has the mean of that on the whole."""

from __future__ import annotations

import pyro
import pyro.distributions as dist
import pytest
import torch

import relaxppl.pyro as rx

ROWS = 6
X = torch.linspace(-1.5, 2.0, ROWS, dtype=torch.float64)
REPEATS = 100


@pytest.fixture(autouse=True)
def _store():
    pyro.clear_param_store()


def program(plate):
    """A program that takes its batch, repeated with a temperature common to all repetitions."""

    def model(x):
        with pyro.plate("repeats", REPEATS, dim=-2), plate(x):
            b = pyro.sample("b", dist.Bernoulli(logits=0.4 * x))
            c = pyro.sample("c", dist.Bernoulli(logits=b - 0.5))
            pyro.sample("x", dist.Normal(b * x + c, 0.7), obs=x.expand(b.shape))

    def guide(x):
        q = pyro.param("q", torch.tensor(0.3, dtype=torch.float64))
        with pyro.plate("repeats", REPEATS, dim=-2), plate(x):
            b = pyro.sample("b", dist.Bernoulli(logits=q * x + 0.2))
            pyro.sample("c", dist.Bernoulli(logits=0.8 * b), infer={"estimator": "score"})

    return model, guide


PLATES = {
    "whole": lambda x: pyro.plate("data", len(x), dim=-1),
    "of a larger set": lambda x: pyro.plate("data", 4 * ROWS, len(x), dim=-1),
}


def gradients(programs, calls=1, **options):
    """Returns gradients by parameter, (calls,)."""
    elbo = rx.REBAR_ELBO(learn=True, temperature=0.8, eta=0.9, **options)
    found = {}
    for seed in range(calls):
        pyro.set_rng_seed(seed)
        elbo.loss_and_grads(*programs, X)
        for name, value in pyro.get_param_store().named_parameters():
            if value.grad is not None:
                found.setdefault(name, []).append(value.grad.clone())
                value.grad = None
    return {name: torch.stack(values) for name, values in found.items()}


@pytest.mark.parametrize("name", PLATES)
def test_the_part_has_the_mean_of_the_whole(name):
    calls = 80
    every = gradients(program(PLATES[name]), calls)
    part = gradients(program(PLATES[name]), calls, variance_fraction=0.34)
    assert set(every) == {"q", "b.estimator.temperature", "b.estimator.eta"}
    # Only temperatures learn on the part.
    for parameter in ("q", "b.estimator.eta"):
        torch.testing.assert_close(every[parameter][:1], part[parameter][:1])
    a, b = (g["b.estimator.temperature"] for g in (every, part))
    error = float(((a.var() + b.var()) / calls).sqrt())
    assert abs(float(a.mean() - b.mean())) < 4 * error
    # Zero, or a wrong multiple of it, would not pass.
    assert abs(float(a.mean())) > 8 * error


def test_with_variance_every_some_steps_learn():
    programs = program(PLATES["whole"])
    part = gradients(programs, 60, variance_fraction=0.5, variance_every=4)
    assert 6 <= len(part["b.estimator.temperature"]) <= 26
    assert len(part["b.estimator.eta"]) == 60


def test_a_plate_whose_rows_cannot_be_chosen_is_an_error():
    elbo = rx.REBAR_ELBO(learn=True, variance_fraction=0.5)

    def closed():
        with pyro.plate("data", ROWS):
            pyro.sample("b", dist.Bernoulli(torch.tensor(0.5)))

    with pytest.raises(NotImplementedError, match=r"around the sites b .*'data'; no argument"):
        elbo.loss_and_grads(closed, closed)

    def fixed(x):
        with pyro.plate("data", ROWS):
            pyro.sample("b", dist.Bernoulli(torch.tensor(0.5)))

    with pytest.raises(ValueError, match="plate 'data' has 6 rows on 3 rows of the arguments"):
        elbo.loss_and_grads(fixed, fixed, X)
    with pytest.raises(ValueError, match=r"variance_fraction must be in \(0, 1\], got 0"):
        rx.REBAR_ELBO(variance_fraction=0)
