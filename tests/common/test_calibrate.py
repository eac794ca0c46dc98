"""Calibration of exact guides, of guides broken on purpose, and of fits; p-values by SciPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import stats

from relaxppl import ops
from relaxppl.common.calibrate import checks
from relaxppl.common.calibrate import run as loop
from tests.common.arviz import arviz_cases as cases
from tests.common.arviz.arviz_cases import both

Y = np.array([0.1, 1.2])
NOISE = 0.8


def programs(host: Any) -> tuple[Any, Any]:
    """A bit, a category and a number for each datum, and their posterior but for two parameters.

    The guide adds ``off`` to the bit's logit and sees the data times ``sight``.
    """
    dist, array = host.dist, host.array
    prior = np.outer([0.7, 0.3], [0.2, 0.5, 0.3])
    means = np.subtract.outer([0.0, 2.0], np.arange(3.0))

    def model(y):
        with host.plate("data", len(Y)):
            z = host.sample("z", dist.Bernoulli(array(0.3)))
            c = host.sample("c", dist.Categorical(probs=array(prior[0] / 0.7)))
            w = host.sample("w", dist.Normal(2.0 * z - c, array(0.7)))
            host.sample("y", dist.Normal(w, array(NOISE)), obs=y)

    def guide(y):
        off, sight = host.param("off", array(0.0)), host.param("sight", array(1.0))
        distance = (y[..., None, None] - array(means)) ** 2 / (0.49 + NOISE**2)
        mass = array(prior) * ops.exp(-0.5 * sight * distance)
        ones, zeros = mass[..., 1, :], mass[..., 0, :]
        with host.plate("data", len(Y)):
            odds = ones.sum(-1) / zeros.sum(-1)
            z = host.sample("z", dist.Bernoulli(logits=ops.log(odds) + off))
            of_c = z[..., None] * ones + (1 - z[..., None]) * zeros
            c = host.sample("c", dist.Categorical(probs=of_c / of_c.sum(-1)[..., None]))
            shrink, mean = sight * 0.49 / (0.49 + NOISE**2), 2.0 * z - c
            scale = ops.sqrt(0.49 * (1 - shrink))
            host.sample("w", dist.Normal(mean + shrink * (y - mean), scale))

    return model, guide


def one_bit(host: Any) -> tuple[Any, Any]:
    """A bit for each datum alone, which costs less to compile."""
    dist, array = host.dist, host.array

    def model(y):
        with host.plate("data", len(y)):
            z = host.sample("z", dist.Bernoulli(array(0.3)))
            host.sample("y", dist.Normal(1.0 * z, array(NOISE)), obs=y)

    def guide(y):
        off = host.param("off", array(0.0))
        with host.plate("data", len(y)):
            logits = np.log(0.3 / 0.7) + (y - 0.5) / NOISE**2 + off
            host.sample("z", dist.Bernoulli(logits=logits))

    return model, guide


def calibrate(host: Any, *program: Any, **kwargs: Any) -> Any:
    if host.name == "numpyro":
        kwargs["rng_key"] = host.key(0)
    return host.rx.calibrate(*program, **kwargs)


def params(host: Any, off: float = 0.0, sight: float = 1.0) -> dict[str, Any]:
    return {"off": host.array(off), "sight": host.array(sight)}


@both
def test_the_exact_posterior_passes_and_a_broken_one_is_flagged(name, tmp_path):
    host = cases.host_of(name)
    model, guide = programs(host)
    kept = {"keep": tmp_path / "kept", "num_simulations": 80}
    right = calibrate(host, model, guide, params(host), host.array(Y), **kept)
    assert right.passed
    assert right.level == 0.01
    assert "Nothing speaks against this guide: on 80 data sets with 100 draws each" in str(right)
    assert set(right.ranks) == {"w", "log_joint"}
    assert set(right.flags) == {"z", "c"}
    # What is compared is what it is said to be: the posteriors lie on the diagonal.
    truth, share = right.flags["z"]
    assert np.corrcoef(truth.ravel(), share.ravel())[0, 1] > 0.4
    assert right.flags["c"][0].shape == (80, 2, 3)
    assert np.all(right.flags["c"][0].sum(-1) == 1)

    off = {"off": host.array(1.0)}
    data = host.array(np.linspace(-1.0, 2.0, 5))
    broken = calibrate(host, *one_bit(host), off, data, num_simulations=100)
    assert broken.flagged[0] == "z"
    assert broken.checks["z"].p_value < 1e-3
    assert "z: probabilities are too high, by 0." in broken.verdict
    # The file goes on, and says of what it is when it is asked for another program.
    kept["num_simulations"] += name == "pyro"  # Elsewhere this costs a compilation.
    again = calibrate(host, model, guide, params(host), host.array(Y), **kept)
    np.testing.assert_array_equal(again.flags["z"][0][:80], truth)
    assert again.num_simulations == kept["num_simulations"]
    with pytest.raises(ValueError, match=r"kept holds another run: its fit is the parameters"):
        calibrate(host, model, guide, params(host, off=1.0), host.array(Y), **kept)

    data = right.to_arviz()
    assert data["prior_sbc"]["w"].dims == ("chain", "draw", "data")
    assert data["prior_sbc"]["w"].sizes["draw"] == 80
    assert data["calibration"]["c_probability"].sizes == {
        "chain": 1,
        "draw": 80,
        "data": 2,
        "c_class": 3,
    }
    assert data.attrs["verdict"] == right.verdict
    assert len(right.plot().axes) == 4


def test_a_guide_that_ignores_the_data_has_the_wrong_joint_density():
    # What is made of the joint density knows no host; elsewhere this costs a compilation.
    host = cases.host_of("pyro")
    model, guide = programs(host)
    blind = calibrate(
        host, model, guide, params(host, sight=0.0), host.array(Y), num_simulations=60
    )
    # The prior has the right ranks and probabilities on average, whatever the data.
    assert blind.flagged == ["log_joint"]
    assert "less likely at the guide's draws" in blind.verdict


@both
def test_each_data_set_has_a_fit_of_its_own(name):
    host = cases.host_of(name)
    dist = host.dist

    def model(y, x):
        for site, data in (("mean", y), ("slow", x)):
            mean = host.sample(site, dist.Normal(host.array(0.0), 1.0))
            host.sample(f"of_{site}", dist.Normal(mean, 0.5), obs=data)

    def guide(y, x):
        # A parameter that is multiplied by 0.1 moves what it stands for a hundred times slower.
        for site, pace in (("mean", 1.0), ("slow", 0.1)):
            loc = pace * host.param(f"loc_{site}", host.array(0.0))
            host.sample(site, dist.Normal(loc, host.array(0.2**0.5)))

    optim = host.lib.optim
    made = {"numpyro": lambda: optim.SGD(0.15), "pyro": lambda: optim.SGD({"lr": 0.15})}
    loss = host.lib.infer.Trace_ELBO(num_particles=20, vectorize_particles=True)
    svi = host.lib.infer.SVI(model, guide, made[name](), loss)
    data = host.array(0.3), host.array(0.4)
    arguments = {
        "num_simulations": 40,
        "data": lambda drawn: (drawn["of_mean"], drawn["of_slow"]),
    }
    # Each of the four steps takes the error down by 1 - 5 x 0.15, and of the slow one hardly.
    found = calibrate(host, svi, 4, *data, **arguments)
    assert found.checks["mean"].p_value > 0.01
    assert found.flagged
    assert set(found.flagged) <= {"slow", "log_joint"}


@both
def test_bad_input_says_what_is_allowed(name):
    host = cases.host_of(name)
    model, guide = programs(host)
    y = host.array(Y)
    with pytest.raises(TypeError, match="num_draws must be a whole number, got True"):
        calibrate(host, model, guide, params(host), y, num_draws=True)
    with pytest.raises(ValueError, match="num_simulations must be at least 40, got 3"):
        calibrate(host, model, guide, params(host), y, num_simulations=3)
    with pytest.raises(ValueError, match="level must lie between 0 and"):
        calibrate(host, model, guide, params(host), y, level=1.0)
    with pytest.raises(ValueError, match=r"'y' observes is none of the arguments as .* give data="):
        calibrate(host, lambda y: model(2 * y), guide, params(host), y)
    with pytest.raises(ValueError, match="with the drawn data for arguments, 'y' observes some"):
        calibrate(host, model, guide, params(host), y, data=lambda drawn: (drawn["y"] + 1,))
    with pytest.raises(TypeError, match="calibrate takes"):
        calibrate(host, 1)

    def learned(y):
        host.param("weight", host.array(1.0))
        model(y)

    svi = host.svi(learned, guide, host.rx.ScoreFunction_ELBO())
    with pytest.raises(ValueError, match=r"the model has parameters of its own \('weight'\)"):
        calibrate(host, svi, 5, y)


def test_files_of_something_else_are_left_alone(tmp_path):
    path = tmp_path / "kept"
    path.write_text("mine")
    with pytest.raises(ValueError, match="kept is no file of calibrate"):
        loop.Kept(path, {}, {}, 50)
    assert path.read_text() == "mine"


def test_p_values_are_uniform_and_those_of_scipy():
    rng = np.random.default_rng(1)
    exact = [checks.of_ranks(rng.uniform(size=(100, 3))) for _ in range(400)]
    for look in checks.LOOKS[:2]:
        assert stats.kstest([c.p[look] for c in exact], "uniform").pvalue > 1e-3
    assert np.mean([c.p_value < 0.05 for c in exact]) < 0.08
    x = rng.normal(0.3, 1.0, size=41)
    wanted = stats.ttest_1samp(x, 0.0).pvalue
    assert checks._p_of_mean(x) == pytest.approx(wanted, rel=0.02)
    assert checks._chi_square_tail(17.3, 10) == pytest.approx(stats.chi2.sf(17.3, 10))
    p = rng.uniform(size=(30, 2))
    mass = np.ones(1)
    for each in p[:, 0]:
        mass = np.convolve(mass, [1 - each, each])
    for count in (8, 15, 22):
        wanted = min(1.0, 2 * min(mass[: count + 1].sum(), mass[count:].sum()))
        assert checks._p_of_counts(np.array([count, 15]), p)[0] == pytest.approx(wanted)
    # Bits that follow their probabilities pass; those that are surer than these do not.
    theta = rng.uniform(size=(200, 4))
    ones = rng.binomial(50, theta)
    right = checks.of_flags((rng.uniform(size=theta.shape) < theta).astype(int), ones, 50)
    assert right.p_value > 0.01
    sure = checks.of_flags((theta > 0.5).astype(int), ones, 50)
    assert sure.worst(0.01) == "spread"
    assert sure.size["spread"] > 0.3
