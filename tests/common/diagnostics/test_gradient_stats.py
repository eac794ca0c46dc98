"""gradient_stats and compare_estimators against gradients and variances written by hand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import pyro
import pytest
import torch

import relaxppl.numpyro
import relaxppl.pyro
from relaxppl.common import diagnostics, enumerated
from relaxppl.common.diagnostics import GradientStats, Moments
from relaxppl.numpyro import diagnostics as ours
from tests.adapter import HOSTS, both
from tests.hosts.elbo import numpyro_cases, numpyro_corner_cases, pyro_cases

# One Bernoulli with a reward: everything about its gradient is a sum of two terms.

LOGIT, REWARD, PRIOR = 0.4, np.array([0.3, -1.1]), -0.6


def toy(host: Any) -> tuple[Any, Any]:
    def model() -> None:
        b = host.sample("b", host.dist.Bernoulli(logits=host.array(PRIOR)))
        reward = b * host.array(REWARD[1]) + (1 - b) * host.array(REWARD[0])
        host.lib.factor("reward", reward)

    def guide() -> None:
        logit = host.lib.param("logit", host.array(LOGIT))
        host.sample("b", host.dist.Bernoulli(logits=logit))

    return model, guide


def toy_gradient() -> tuple[float, float]:
    """The mean and the variance of the score function's gradient of -ELBO in the logit."""
    b, p = np.array([0.0, 1.0]), 1 / (1 + np.exp(-LOGIT))
    q = np.array([1 - p, p])
    log_p = b * PRIOR - np.logaddexp(0, PRIOR) + REWARD
    h = -(log_p - np.log(q)) * (b - p)
    mean = float(q @ h)
    return mean, float(q @ h**2) - mean**2


def params_of(host: Any) -> dict[str, Any]:
    return {"logit": host.array(LOGIT)}


@both
def test_against_closed_forms(host: Any) -> None:
    pyro.clear_param_store()
    draws = 20_000 if host.name == "numpyro" else 500
    elbo = host.rx.ScoreFunction_ELBO()
    s = host.rx.gradient_stats(elbo, *toy(host), params_of(host), num_draws=draws)
    mean, variance = toy_gradient()
    assert s.exact is not None
    np.testing.assert_allclose(s.exact["logit"], mean, rtol=1e-6)
    np.testing.assert_allclose(s.mean["logit"], mean, atol=5 * (variance / draws) ** 0.5)
    np.testing.assert_allclose(s.variance["logit"], variance, rtol=0.2)
    np.testing.assert_allclose(s.snr["logit"], abs(mean) / variance**0.5, rtol=0.4)
    np.testing.assert_allclose(s.loss, exact_loss(), atol=0.1)
    assert s.bias is not None
    assert abs(s.bias["logit"]) < 5
    assert s.biased is False
    assert s.evaluations == 1
    assert s.num_draws == draws
    assert 0 < s.seconds < 10
    assert "logit" in str(s)
    assert float(s.to_dataset()["exact:logit"]) == pytest.approx(mean)


def exact_loss() -> float:
    b, p = np.array([0.0, 1.0]), 1 / (1 + np.exp(-LOGIT))
    q = np.array([1 - p, p])
    return float(-q @ (b * PRIOR - np.logaddexp(0, PRIOR) + REWARD - np.log(q)))


def test_exact_gradient_with_a_subsample_on_numpyro() -> None:
    case, draws = numpyro_cases.PLATE, 1000
    found = ours.exact_gradient(case.model, case.guide, case.values(), (), {}, draws)
    _, truth = case.gradient()
    assert found is not None
    assert found.num_draws == draws
    for name, expected in truth.items():
        error = np.sqrt(found.variance[name] / draws)
        gap = np.abs(found.mean[name] - np.asarray(expected))
        assert np.all(gap <= 5 * error + 1e-10), name


@pytest.mark.parametrize("name", ["TWO_LEVELS", "SHARED"])
def test_exact_gradient_on_pyro(name: str) -> None:
    from relaxppl.pyro.diagnostics import exact_gradient
    from relaxppl.pyro.gradients import borrowed

    case = getattr(pyro_cases, name)
    pyro.clear_param_store()
    model, guide = case.build(1)
    with borrowed(model, guide, None, (), {}, 0) as lent:
        found = exact_gradient(model, guide, lent, (), {}, 10)
    _, truth = case.gradient()
    assert found is not None
    for key, expected in truth.items():
        np.testing.assert_allclose(found.mean[key][0], expected, rtol=1e-5, atol=1e-6)


def test_too_many_values_have_no_exact_gradient() -> None:
    case = numpyro_corner_cases.COUNTS
    inspected = ours.Inspected(case.model, case.guide, (), {}, case.values())
    assert inspected.states == np.inf
    assert ours.exact_gradient(case.model, case.guide, case.values(), (), {}, 2) is None
    two = numpyro_cases.TWO_LEVELS
    inspected = ours.Inspected(two.model, two.guide, (), {}, two.values())
    # Two bits of a, and two of b, whose plate the observation looks across.
    assert inspected.states == 16
    assert inspected.coupled
    assert inspected.upstream["b"] == {"a"}
    assert ours.exact_gradient(two.model, two.guide, two.values(), (), {}, 2, 15) is None


def test_biased_losses_are_found_and_not_best() -> None:
    rx = relaxppl.numpyro
    model, guide = toy(HOSTS["numpyro"])
    host = HOSTS["numpyro"]
    found = rx.compare_estimators(
        {
            "rebar": rx.REBAR_ELBO(),
            "host": numpyro.infer.Trace_ELBO(),
        },
        model,
        guide,
        params_of(host),
        num_draws=4000,
        tune=20,
    )
    assert found.unbiased == {"rebar": True, "host": False}
    assert found.best == "rebar"
    assert next(iter(found.stats)) == found.best
    assert found.stats["rebar"].evaluations == 2
    assert "best at equal time" in str(found)
    data = found.to_dataset()
    assert set(data.coords["loss"].values) == {"rebar", "host"}
    first = found.stats["rebar"]
    assert float(data["total_variance"].sel(loss="rebar")) == first.total_variance


def test_comparison_on_pyro_leaves_everything_as_it_was() -> None:
    rx, host = relaxppl.pyro, HOSTS["pyro"]
    model, guide = toy(host)
    pyro.clear_param_store()
    with torch.no_grad():
        pyro.param("logit", host.array(0.9))
    pyro.param("logit").unconstrained().grad = torch.tensor(3.0, dtype=torch.float64)
    torch.manual_seed(5)
    before = torch.get_rng_state()
    found = rx.compare_estimators(
        [rx.REBAR_ELBO(), rx.RELAX_ELBO(), rx.RLOO_ELBO(num_particles=3)],
        model,
        guide,
        params_of(host),
        num_draws=20,
        tune=5,
        exact=False,
    )
    assert set(found.stats) == {"REBAR_ELBO", "RELAX_ELBO", "RLOO_ELBO"}
    assert found.stats["RLOO_ELBO"].evaluations == 3
    assert found.stats["REBAR_ELBO"].bias is None
    assert list(pyro.get_param_store()) == ["logit"]
    assert float(pyro.param("logit").detach()) == 0.9
    assert float(pyro.param("logit").unconstrained().grad) == 3.0
    assert torch.equal(torch.get_rng_state(), before)
    # At the caller's value, not at that of the store.
    ours = rx.gradient_stats(rx.ScoreFunction_ELBO(), model, guide, None, num_draws=2)
    assert ours.exact is not None
    assert abs(float(ours.exact["logit"]) - toy_gradient()[0]) > 0.01


@both
def test_refusals(host: Any) -> None:
    pyro.clear_param_store()
    model, guide = toy(host)
    elbo = host.rx.ScoreFunction_ELBO()

    def refuse(match: str, guide: Any = guide, params: Any = None, draws: Any = 10) -> None:
        params = params_of(host) if params is None else params
        for call in (
            lambda: host.rx.gradient_stats(elbo, model, guide, params, num_draws=draws),
            lambda: host.rx.compare_estimators([elbo], model, guide, params, num_draws=draws),
        ):
            with pytest.raises(ValueError, match=match):
                call()

    for draws in (0, -3, 1, 2.5, True):
        refuse(f"num_draws must be an int of at least 2.*got {draws}", draws=draws)
    refuse("'logit' of the model or the guide is missing", params={"other": host.array(0.0)})
    two = {**params_of(host), "other": host.array(0.0)}
    refuse("neither has a parameter 'other'.*they declare: logit", params=two)
    refuse(r"'logit' has shape \(2,\), and they declare it with \(\)",
           params={"logit": host.array([0.0, 1.0])})  # fmt: skip

    def continuous() -> None:
        logit = host.lib.param("logit", host.array(LOGIT))
        host.sample("b", host.rx.RelaxedBernoulli(host.array(0.5), logits=logit))

    refuse("guide continuous has no discrete latent site.*AutoDiscrete", guide=continuous)
    with pytest.raises(ValueError, match="at least one ELBO"):
        host.rx.compare_estimators([], model, guide, params_of(host))


def test_what_cannot_run_is_listed_with_its_reason() -> None:
    host = HOSTS["pyro"]
    pyro.clear_param_store()

    def program() -> None:
        host.sample("k", host.dist.Categorical(host.array([0.3, 0.7])))

    found = host.rx.compare_estimators(
        [host.rx.REBAR_ELBO(), host.rx.ScoreFunction_ELBO()], program, program, None, num_draws=2
    )
    assert list(found.stats) == ["ScoreFunction_ELBO"]
    assert "'k' is a Categorical" in found.failures["REBAR_ELBO"]
    assert "'k' is a Categorical" in str(found)


@jax.tree_util.register_dataclass
@dataclass
class Affine:
    """A module that is a class of its own, as Equinox makes them: a pytree, not a dict."""

    weight: Any
    bias: Any

    def at(self, x: Any) -> Any:
        return self.weight * x + self.bias


def test_a_parameter_may_be_a_module() -> None:
    rx, dist = relaxppl.numpyro, numpyro.distributions
    x = np.linspace(-1.0, 1.0, 3)

    def model() -> None:
        with numpyro.plate("data", 3):
            z = numpyro.sample("z", dist.Bernoulli(0.3))
            numpyro.sample("y", dist.Normal(z, 0.5), obs=x)

    def guide() -> None:
        logits = numpyro.param("net", Affine(jnp.asarray(0.4), jnp.asarray(0.1))).at(x)
        with numpyro.plate("data", 3):
            numpyro.sample("z", dist.Bernoulli(logits=logits))

    params = {"net": Affine(0.6, -0.2)}
    found = rx.gradient_stats(rx.DisARM_ELBO(), model, guide, params, num_draws=500)
    assert set(found.mean) == {"net.weight", "net.bias"}
    assert found.biased is False


# What both hosts share.


def test_moments_in_parts_are_those_of_the_whole() -> None:
    x = np.random.default_rng(0).normal(3.0, 2.0, size=(100, 4))

    def moments(part: np.ndarray) -> Moments:
        mean, loss = part.mean(0), part[:, 0].mean()
        deviation = ((part - mean) ** 2).sum(0)
        return Moments(len(part), {"x": mean}, {"x": deviation}, loss, deviation[0])

    whole = moments(x[:7]).and_more(moments(x[7:30])).and_more(moments(x[30:]))
    s = diagnostics.summary("s", whole, 1.0, 1.0)
    np.testing.assert_allclose(s.mean["x"], x.mean(0))
    np.testing.assert_allclose(s.variance["x"], x.var(0, ddof=1))
    np.testing.assert_allclose(s.loss_variance, x[:, 0].var(ddof=1))


class Fake:
    """Gradients that take a given time by a clock of their own."""

    def __init__(self, clock: list[float], seconds: float) -> None:
        self.clock, self.seconds, self.drawn = clock, seconds, 0

    evaluations = 1.0

    def tune(self, steps: int) -> None:
        raise AssertionError

    def draw(self, count: int) -> Moments:
        # The first call takes longer: that is no part of the time of a gradient.
        self.clock[0] += count * self.seconds + (0 if self.drawn else 100.0)
        self.drawn += count
        return Moments(count, {"x": np.zeros(1)}, {"x": np.zeros(1)}, 0.0, 0.0)


def test_turns_times_and_the_limit() -> None:
    clock = [0.0]
    fakes = {"fast": Fake(clock, 0.01), "slow": Fake(clock, 1.0)}
    found = diagnostics.measure(fakes, 12, clock=lambda: clock[0])
    assert [found[n].num_draws for n in fakes] == [12, 12]
    assert found["fast"].seconds == pytest.approx(0.01)
    assert found["slow"].seconds == pytest.approx(1.0)
    found = diagnostics.measure(fakes, 1000, seconds=30.0, clock=lambda: clock[0])
    assert found["fast"].num_draws == 1000
    assert found["slow"].num_draws == 15


def stats_of(name: str, variance: float, seconds: float, exact: float | None) -> GradientStats:
    one = lambda x: {"x": np.array([x])}  # noqa: E731
    reference = None if exact is None else one(exact)
    return GradientStats(name, 400, one(1.0), one(variance), 0, 1, 1, seconds, reference)


def test_ranking_bias_and_plot() -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    stats = {
        "slow": stats_of("slow", 1.0, 3.0, 1.02),
        "fast": stats_of("fast", 2.0, 1.0, 1.02),
        "off": stats_of("off", 0.01, 1.0, 1.015),  # Three standard errors of 0.005.
        "far": stats_of("far", 0.01, 1.0, 1.05),
        "exact": stats_of("exact", 0.0, 1.0, 1.0),
    }
    assert stats["far"].worst_bias == pytest.approx(10.0, rel=1e-3)
    found = diagnostics.ranked(stats, dict.fromkeys(stats, None))
    assert list(found.stats) == ["exact", "off", "fast", "slow", "far"]
    assert found.unbiased["far"] is False
    axes = found.plot()
    assert axes.get_xscale() == axes.get_yscale() == "log"
    assert {t.get_text() for t in axes.texts} == {"slow", "fast", "off", "far"}
    unknown = diagnostics.ranked({"u": stats_of("u", 1.0, 1.0, None)}, {"u": None})
    with pytest.raises(ValueError, match="none of the losses is known to be unbiased"):
        _ = unknown.best


def test_assignments_cover_every_joint_value_once() -> None:
    eye = np.eye(3)
    variables = {
        "z": enumerated.Variable("one-hot", "OneHot", eye, (5, 1), {"rows": -2}, 0),
        "b": enumerated.Variable("binary", "Bernoulli", np.arange(2), (5, 2), {"rows": -1}, 1),
    }
    assert enumerated.states(variables, by_plate=True) == pytest.approx(12)
    found = enumerated.assignments(variables, by_plate=True)
    assert found["z"].shape == (12, 5, 1, 3)
    assert found["b"].shape == (12, 5, 2)
    assert np.all(found["b"] == found["b"][:, :1])
    rows = {(tuple(z[0, 0]), tuple(b[0])) for z, b in zip(found["z"], found["b"], strict=True)}
    assert len(rows) == 12
    assert enumerated.states(variables, by_plate=False) == pytest.approx(3.0**5 * 2.0**10)
    assert jnp.isfinite(jax.device_get(found["z"]).sum())
