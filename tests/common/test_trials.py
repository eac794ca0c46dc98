"""Which estimator each site of a program is tried with."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pyro
import pyro.distributions as dist
import torch

import relaxppl.pyro as rx
from relaxppl.common.diagnostics import said_once
from relaxppl.common.enumerated import Variable
from relaxppl.common.recommend.trials import TRIALS, per_site, trials
from relaxppl.estimators.counts import Poisson
from relaxppl.estimators.laws import Bernoulli, Categorical
from relaxppl.estimators.site import Candidate

LAWS: dict[str, tuple[Any, Any]] = {
    "bit": (Bernoulli, None), "class": (Categorical, None), "count": (None, Poisson),
    "other": (None, None),
}  # fmt: skip


def program(**sites: tuple[str, int, int]) -> tuple[dict[str, Variable], list[Candidate]]:
    """From kind, size of the support and draws in each element of a plate of four."""
    variables, candidates = {}, []
    for name, (kind, size, draws) in sites.items():
        law, counts = LAWS[kind]
        support = np.arange(size) if size else None
        variables[name] = Variable(kind, kind, support, (4, draws), {"rows": -1}, 1)
        candidates.append(Candidate(name, kind, law, None, counts=counts))
    return variables, candidates


def names(variables: Any, candidates: Any) -> list[str]:
    return [n for n in trials(variables, [], candidates) if n not in TRIALS]


def test_each_site_has_what_its_law_and_size_call_for():
    variables, candidates = program(
        b=("bit", 2, 16),
        wide=("bit", 2, 17),
        k=("class", 17, 1),
        n=("count", 0, 1),
        o=("other", 0, 1),
    )
    expected = {"b": "local_expectation", "k": "local_expectation", "n": "coupled"}
    assert per_site(variables, [], candidates) == expected
    # What sees all rows together takes evaluations of their own.
    together = per_site(variables, [("b", "x"), ("n", "x")], candidates)
    assert together == {"k": "local_expectation", "n": "coupled"}
    asking = [c._replace(wanted="disarm") for c in candidates]
    assert per_site(variables, [], asking) == {}


def test_the_rest_has_the_best_that_takes_it():
    small, count = {"k": ("class", 3, 1)}, {"n": ("count", 0, 1)}
    wide, index = {"w": ("bit", 2, 200)}, {"i": ("class", 300, 1)}
    forms = ["(exact_kl=True)", "(exact_kl='learned')"]
    assert names(*program(**wide)) == [f"REBAR_ELBO{form}" for form in forms]
    assert names(*program(**index)) == [f"DisARM_ELBO{form}" for form in forms]
    assert names(*program(**small)) == ["LocalExpectation_ELBO()"]
    assert names(*program(**count)) == ["Coupled_ELBO()"]
    both = names(*program(**small, **count))
    assert both == ["LocalExpectation_ELBO() per site"]
    found = trials(*(lambda v, c: (v, [], c))(*program(**small, **wide)))
    assert found["REBAR_ELBO() per site"].sites == {"k": "local_expectation"}
    assert list(found)[:3] == ["REBAR_ELBO()", "ScoreFunction_ELBO()", "REBAR_ELBO() per site"]
    other = names(*program(o=("other", 0, 1), **small))
    assert other == ["ScoreFunction_ELBO() per site"]


def test_recommend_gives_the_guide_with_what_each_site_has():
    pyro.clear_param_store()
    data = torch.tensor([2.0, 3.5, 9.0])

    def model():
        with pyro.plate("rows", 3):
            k = pyro.sample("k", dist.Categorical(torch.ones(3) / 3))
            n = pyro.sample("n", dist.Poisson(3.0))
            b = pyro.sample("b", dist.Bernoulli(0.5 * torch.ones(3, 30)).to_event(1))
            pyro.sample("x", dist.Normal(n + k + 0.2 * b.sum(-1) - 3.0, 1.0), obs=data)

    def guide():
        rate = pyro.param("rate", torch.full((3,), 3.0), dist.constraints.positive)
        logits, bits = pyro.param("k_", torch.zeros(3, 3)), pyro.param("b_", torch.zeros(3, 30))
        with pyro.plate("rows", 3):
            pyro.sample("k", dist.Categorical(logits=logits))
            pyro.sample("n", dist.Poisson(rate))
            pyro.sample("b", dist.Bernoulli(logits=bits).to_event(1))

    found = rx.recommend(model, guide, seconds=1.0, num_draws=100, tune=10)
    assert found.best.name.startswith("REBAR_ELBO(")
    assert found.best.name.endswith("per site")
    assert "'local_expectation'} at 'k' and {'estimator': 'coupled'} at 'n'" in str(found)
    reasons = {o.name: o.reason for o in found.options}
    assert "another loss" in reasons["VIMCO_ELBO(num_particles=K)"]
    svi = pyro.infer.SVI(found.model, found.guide, pyro.optim.Adam({"lr": 0.01}), found.loss)
    assert np.isfinite(svi.step())


def test_a_host_that_cannot_enumerate_says_so_in_words():
    pyro.clear_param_store()
    table = torch.tensor([[0.3, 1.2, 0.4], [0.8, -0.4, 0.1]])

    def model():
        with pyro.plate("rows", 2):
            z = pyro.sample("z", dist.Categorical(torch.ones(3) / 3))
            # All of its values at once have another shape.
            loc = table[torch.arange(2), z.reshape(2)] + 0.1 * int(z[0])
            pyro.sample("x", dist.Normal(loc, 1.0), obs=torch.zeros(2))

    def guide():
        with pyro.plate("rows", 2):
            pyro.sample("z", dist.Categorical(logits=pyro.param("q", torch.zeros(2, 3))))

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        losses = [rx.DisARM_ELBO(), rx.ScoreFunction_ELBO()]
        rx.compare_estimators(losses, model, guide, None, num_draws=4)
        left = [w for w in caught if "leaves torch" in str(w.message) or "'z'" in str(w.message)]
    assert len(left) == 1
    found = rx.recommend(model, guide, seconds=0.5, num_draws=4, tune=0)
    reason = {o.name: o.reason for o in found.options}["TraceEnum_ELBO"]
    assert reason.startswith("TraceEnum_ELBO fails on this model")
    assert "invalid for input of size" not in str(found)


def test_a_warning_is_shown_once():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with said_once():
            for text in ("one", "one", "two"):
                warnings.warn(text, stacklevel=1)
        warnings.warn("one", stacklevel=1)
    assert [str(w.message) for w in caught] == ["one", "two", "one"]


def test_no_exact_gradient_is_said_where_other_values_reach_other_sites():
    pyro.clear_param_store()

    def model():
        if pyro.sample("a", dist.Bernoulli(0.5)) > 0:
            pyro.sample("b", dist.Bernoulli(0.3))
        pyro.factor("f", torch.tensor(0.4))

    def guide():
        if pyro.sample("a", dist.Bernoulli(logits=pyro.param("q", torch.tensor(0.0)))) > 0:
            pyro.sample("b", dist.Bernoulli(0.5))

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        stats = rx.gradient_stats(rx.ScoreFunction_ELBO(), model, guide, None, num_draws=4)
    assert stats.exact is None
    said = [str(w.message) for w in caught if "no exact gradient" in str(w.message)]
    assert len(said) == 1
    assert "exact=False" in said[0]
