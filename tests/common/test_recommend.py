"""recommend: enumeration where it is cheap, else a ranking, and what it says of the sites."""

from __future__ import annotations

import re
from typing import Any

import jax
import numpy as np
import numpyro
import pyro
import pytest
import torch

from relaxppl.common.diagnostics import GradientStats
from relaxppl.common.enumerated import Variable
from relaxppl.common.recommend import enumeration, recommendation
from tests.adapter import HOSTS, both, compiled_slowly

Y = np.concatenate([np.full(4, -3.0), np.full(4, 0.0), np.full(4, 3.0)])


def mixture(host: Any) -> Any:
    def model(y: Any) -> None:
        mu = host.lib.param("mu", host.array([-1.0, 0.5, 2.0]))
        with host.plate("data", len(y)):
            z = host.sample("z", host.dist.Categorical(host.array([0.3, 0.3, 0.4])))
            host.sample("y", host.dist.Normal(mu[z], 1.0), obs=y)

    return model


def sigmoid_belief_network(host: Any) -> tuple[Any, Any, Any]:
    rng = np.random.default_rng(0)
    weights = host.array(rng.normal(size=(200, 30)) * 0.1)
    back = host.array(rng.normal(size=(30, 200)) * 0.1)
    x = host.array(rng.random((8, 30)) < 0.4)

    def model(x: Any) -> None:
        matrix = host.lib.param("V", weights)
        with host.plate("batch", len(x)):
            prior = host.dist.Bernoulli(logits=host.array(np.zeros(200)))
            b = host.sample("b", prior.to_event(1))
            host.sample("x", host.dist.Bernoulli(logits=b @ matrix).to_event(1), obs=x)

    def guide(x: Any) -> None:
        matrix = host.lib.param("W", back)
        with host.plate("batch", len(x)):
            host.sample("b", host.dist.Bernoulli(logits=x @ matrix).to_event(1))

    return model, guide, x


@compiled_slowly
def test_enumeration_for_a_mixture_of_three(host: Any) -> None:
    pyro.clear_param_store()
    y = host.array(Y)
    guide = host.rx.AutoDiscrete(mixture(host))
    # The first two, enumeration and the score function, are measured however short the time.
    found = host.rx.recommend(mixture(host), guide, y, seconds=0.5, num_draws=20, tune=10)
    assert found.best.name == "TraceEnum_ELBO"
    assert isinstance(found.loss, host.lib.infer.TraceEnum_ELBO)
    said = str(found)
    assert "'z'" in said
    assert "integer category" in said
    assert "3 values, 12 draws in plate data" in said
    applies = {o.name: o.applies for o in found.options}
    assert applies["DisARM_ELBO()"]
    assert not applies["REBAR_ELBO()"]
    assert not applies["relax"]
    assert "OneHotCategorical" in {o.name: o.reason for o in found.options}["REBAR_ELBO()"]
    # The loss is log p(y) itself: summed by hand.
    log_p = np.log([0.3, 0.3, 0.4]) - 0.5 * (Y[:, None] - [-1.0, 0.5, 2.0]) ** 2
    exact = -np.log(np.exp(log_p).sum(1)).sum() + 0.5 * len(Y) * np.log(2 * np.pi)
    assert found.best.stats is not None
    assert found.best.stats.loss == pytest.approx(exact, rel=1e-5)
    if host.name == "pyro":
        optimizer = pyro.optim.Adam({"lr": 0.1})
        svi = pyro.infer.SVI(found.model, found.guide, optimizer, loss=found.loss)
        assert svi.step(y) == pytest.approx(exact, rel=1e-5)
        assert float(pyro.param("mu")[0].detach()) < -1.0
    else:
        args = (jax.random.key(0), {"mu": host.array([-1.0, 0.5, 2.0])}, found.model)
        loss = found.loss.loss(*args, lambda y: None, y)
        assert float(loss) == pytest.approx(exact, rel=1e-5)
        svi = numpyro.infer.SVI(found.model, found.guide, numpyro.optim.Adam(0.1), found.loss)
        jax.eval_shape(lambda key: svi.update(svi.init(key, y), y), jax.random.key(0))


@compiled_slowly
def test_a_sigmoid_belief_network_is_not_for_the_score_function(host: Any) -> None:
    pyro.clear_param_store()
    model, guide, x = sigmoid_belief_network(host)
    seconds = 0.5 if host.name == "numpyro" else 4.0
    found = host.rx.recommend(model, guide, x, seconds=seconds, num_draws=60, tune=10)
    ranking = found.ranking
    plain = ranking.index("ScoreFunction_ELBO()")
    better = [n for n in ranking[:plain] if n.startswith(("REBAR", "RELAX", "DisARM"))]
    assert better
    reasons = {o.name: o.reason for o in found.options}
    assert "'b' has 200 draws that no plate declares" in reasons["TraceEnum_ELBO"]
    assert "2^200" in reasons["TraceEnum_ELBO"]
    assert "Trace_ELBO; biased" in reasons["relax"]
    assert found.model is model
    assert found.loss is found.options[0].loss
    if host.name == "pyro":
        assert len(pyro.get_param_store()) == 0


@both
def test_refusals(host: Any) -> None:
    pyro.clear_param_store()
    model = mixture(host)
    guide = host.rx.AutoDiscrete(model)
    y = host.array(Y)
    with pytest.raises(ValueError, match="seconds must be positive, got 0"):
        host.rx.recommend(model, guide, y, seconds=0)
    with pytest.raises(ValueError, match="num_draws must be"):
        host.rx.recommend(model, guide, y, num_draws=0)
    with pytest.raises(ValueError, match="params does not fit"):
        host.rx.recommend(model, guide, y, params={"nothing": host.array(1.0)})
    with pytest.raises(ValueError, match="has no discrete latent site"):
        host.rx.recommend(model, lambda y: None, y)


# What both hosts share.


def variable(kind: str = "binary", **changes: Any) -> Variable:
    given: dict[str, Any] = {
        "kind": kind,
        "class_name": "Law",
        "support": np.arange(2),
        "shape": (4,),
        "plates": {"rows": -1},
        "event_dim": 0,
    }
    return Variable(**(given | changes))


@pytest.mark.parametrize(
    ("changes", "given", "match"),
    [
        ({}, {}, None),
        ({}, {"in_model": []}, "'z' is a site of the guide only"),
        ({"support": None}, {}, r"'z' \(Law\) has no end of values"),
        ({"plates": {}}, {}, "4 draws that no plate.*2\\^4.*batch dimension"),
        ({"shape": (4, 3), "event_dim": 1}, {}, "3 draws that no plate.*its to_event"),
        ({}, {"dependent": ["v"]}, "'v' of the guide is drawn given"),
        ({}, {"coupled": [("z", "x")]}, "'x' sees several elements of the plates of 'z'"),
        ({"support": np.arange(300)}, {}, "300 joint values are more than 256"),
    ],
)
def test_what_stands_in_the_way_of_enumeration(changes: Any, given: Any, match: Any) -> None:
    call = {"in_model": ["z"], "dependent": [], "coupled": []} | given
    found = enumeration.obstacle({"z": variable(**changes)}, **call)
    if match is None:
        assert found is None
    else:
        assert found is not None
        assert re.search(match, found)


def test_descriptions() -> None:
    count = variable("count", support=None, shape=())
    assert recommendation.describe("k", count, []) == "'k' (Law): count, no known end of values"
    said = recommendation.describe("b", variable(event_dim=1, shape=(4, 3)), ["a"])
    assert said.endswith("12 draws in plate rows and event; its parameters depend on 'a'")
    assert recommendation.relaxation_option({"z": variable(relaxable=True)}).applies
    said = recommendation.relaxation_option({"z": variable("count")}).reason
    assert "no relaxation is registered" in said


def stats(loss: float, variance: float = 1.0) -> GradientStats:
    return GradientStats("s", 100, {}, {}, loss, variance, 1, 1.0)


def test_a_worse_bound_gives_a_wrong_enumeration_away() -> None:
    assert enumeration.worse_bound(stats(12.0), [stats(10.0)])
    assert not enumeration.worse_bound(stats(10.5), [stats(10.0)])  # Within the errors.
    assert not enumeration.worse_bound(stats(9.0), [stats(10.0)])


def test_an_enumeration_that_means_something_else_is_refused() -> None:
    # The sum over the plate lies in the deterministic code of another plate's site.
    host = HOSTS["pyro"]
    pyro.clear_param_store()

    def model() -> None:
        with host.plate("rows", 2):
            z = host.sample("z", host.dist.Bernoulli(host.array(0.5)))
        host.sample("x", host.dist.Normal(z.sum(-1), 1.0), obs=host.array(2.0))

    torch.manual_seed(0)
    guide = host.rx.AutoDiscrete(model)
    found = host.rx.recommend(model, guide, seconds=0.5, num_draws=10, tune=0)
    assert (
        "'x' sees several elements" in {o.name: o.reason for o in found.options}["TraceEnum_ELBO"]
    )
