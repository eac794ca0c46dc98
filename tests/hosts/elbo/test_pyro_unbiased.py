"""Every estimator's mean gradient is the exactly enumerated one, on every shape of guide."""

from __future__ import annotations

import pyro
import pyro.infer
import pytest
import torch

import relaxppl.pyro as rx
from tests.hosts.elbo.pyro_cases import CASES, PLATE, THREE_LEVELS, TWO_LEVELS
from tests.hosts.elbo.pyro_corner_cases import COUNTS
from tests.hosts.elbo.pyro_unbiased import measure

ESTIMATORS = {
    "score": (rx.ScoreFunction_ELBO, {}),
    "average": (rx.ScoreFunction_ELBO, {"baseline": "average"}),
    "rloo": (rx.RLOO_ELBO, {"num_particles": 3}),
    "disarm": (rx.DisARM_ELBO, {}),
    "arms": (rx.ARMS_ELBO, {"num_particles": 4}),
    "local": (rx.LocalExpectation_ELBO, {}),
    "coupled": (rx.Coupled_ELBO, {}),
    "rebar": (rx.REBAR_ELBO, {"temperature": 0.6, "eta": 0.7}),
    "relax": (rx.RELAX_ELBO, {"hidden": 3, "learn": True}),
}


# Two levels run with the exact KL, in test_pyro_exact_kl.py.
ELSEWHERE = {(TWO_LEVELS.name, estimator) for estimator in ESTIMATORS if estimator != "local"}
ELSEWHERE |= {(case, "coupled") for case in CASES}
ROWS = [(c, e) for c in CASES for e in ESTIMATORS if (c, e) not in ELSEWHERE]


@pytest.mark.parametrize(("case", "estimator"), ROWS)
def test_mean_gradient_is_exact(case, estimator):
    make, options = ESTIMATORS[estimator]
    infer = CASES[case].infer if estimator == "rebar" else {}
    draws = 5_000 if estimator == "local" else 20_000
    outcome = measure(make(**options), CASES[case], infer, draws)
    assert outcome.worst < 4
    assert outcome.error < 0.05


# Pyro drops the score of what a law masks itself: there the hand-written bound stands alone.
@pytest.mark.parametrize("case", [name for name in CASES if name != "masked"])
def test_the_hosts_elbo_agrees_with_the_enumeration(case):
    assert measure(pyro.infer.TraceGraph_ELBO(), CASES[case]).worst < 4


@pytest.mark.parametrize("estimator", ["score", "rloo", "coupled"])
def test_counts(estimator):
    make, options = ESTIMATORS[estimator]
    outcome = measure(make(**options), COUNTS)
    assert outcome.worst < 4
    assert outcome.error < 0.05


@pytest.mark.parametrize("estimator", ["rebar", "relax"])
@pytest.mark.parametrize("case", [TWO_LEVELS, THREE_LEVELS], ids=lambda c: c.name)
def test_uncoupled_noise(case, estimator):
    make, options = ESTIMATORS[estimator]
    outcome = measure(make(**options, coupled=False), case)
    assert outcome.worst < 4
    assert outcome.error < 0.05


@pytest.mark.parametrize("control_variate", ["rebar", "network"])
def test_parts_of_the_relax_control_variate(control_variate):
    outcome = measure(rx.RELAX_ELBO(control_variate=control_variate, hidden=3), TWO_LEVELS)
    assert outcome.worst < 4
    assert outcome.error < 0.05


@pytest.mark.parametrize(
    ("case", "infer"),
    [
        (THREE_LEVELS, {"a": "rebar", "b": "score", "c": "rebar"}),
        (THREE_LEVELS, {"a": "rebar", "b": "disarm", "c": "relax"}),
        (THREE_LEVELS, {"a": "disarm", "b": "rebar", "c": "score"}),
        (PLATE, {"z": "rebar", "k": "disarm"}),
        (PLATE, {"z": "disarm", "k": "relax"}),
        (PLATE, {"z": "relax", "k": "score"}),
    ],
    ids=lambda value: "-".join(value.values()) if isinstance(value, dict) else value.name,
)
def test_estimators_chosen_by_site(case, infer):
    chosen = {site: {"estimator": name} for site, name in infer.items()}
    outcome = measure(rx.RELAX_ELBO(hidden=3), case, chosen)
    assert outcome.worst < 4
    assert outcome.error < 0.05


@pytest.mark.parametrize("elbo", [rx.ScoreFunction_ELBO(baseline="network"), rx.RELAX_ELBO()])
def test_networks_see_inputs_that_lie_upstream(elbo):
    features = torch.randn(2, dtype=torch.float64)
    infer = {"a": {"estimator_input": features}, "b": {"estimator_input": features.expand(2, 2)}}
    outcome = measure(elbo, TWO_LEVELS, infer)
    assert outcome.worst < 4
    assert outcome.error < 0.05


@pytest.mark.parametrize("vectorize", [False, True])
@pytest.mark.parametrize("estimator", ["score", "rloo", "disarm", "rebar"])
def test_particles(estimator, vectorize):
    """Several particles of one program, whose parameters they share."""
    make, options = ESTIMATORS[estimator]
    elbo = make(**{**options, "num_particles": 4}, vectorize_particles=vectorize)
    outcome = measure(elbo, THREE_LEVELS, draws=5_000, calls=2)
    assert outcome.worst < 4
    # Four draws have a quarter of the variance of one, and no more.
    single = measure(make(**options), THREE_LEVELS, draws=5_000, calls=2).variance
    count = options.get("num_particles", 1)
    assert outcome.variance < 1.3 * single * count / 4


@pytest.mark.parametrize("estimator", [e for e in ESTIMATORS if e != "coupled"])
def test_loss_is_the_negative_bound(estimator):
    make, options = ESTIMATORS[estimator]
    elbo = make(**options)
    pyro.clear_param_store()
    programs = TWO_LEVELS.build(500)
    for loss in (elbo.loss, elbo.loss_and_grads):
        values = torch.tensor([loss(*programs) / 500 for _ in range(10)])
        error = values.std() / 10**0.5
        assert abs(float(values.mean()) - TWO_LEVELS.gradient()[0]) < 4 * float(error)


def test_differentiable_loss_has_the_same_gradient():
    pyro.clear_param_store()
    elbo, programs = rx.REBAR_ELBO(), TWO_LEVELS.build(3)
    pyro.set_rng_seed(3)
    value = elbo.loss_and_grads(*programs)
    leaves = [pyro.param(name).unconstrained() for name in TWO_LEVELS.initial]
    grads = [leaf.grad.clone() for leaf in leaves]
    pyro.set_rng_seed(3)
    loss = elbo.differentiable_loss(*programs)
    assert loss.item() == pytest.approx(value)
    for mine, other in zip(torch.autograd.grad(loss, leaves), grads, strict=True):
        torch.testing.assert_close(mine, other)
