"""Temperatures that follow the step: their values, and how stock SVI advances the step."""

from __future__ import annotations

import gc
import math
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import optax
import pyro
import pytest
import torch

import relaxppl.numpyro as rn
import relaxppl.pyro as rp
from relaxppl import schedules

SCHEDULES = {
    "constant": (rn.ConstantSchedule(0.5), lambda k: 0.5),
    "linear": (rn.LinearSchedule(2.0, 0.5, 100), lambda k: 2.0 - 1.5 * min(k / 100, 1)),
    "exponential": (
        rn.ExponentialSchedule(1.0, 0.3, 100),
        lambda k: max(0.3, math.exp(-math.log(1 / 0.3) / 100 * k)),
    ),
    "rising": (rn.ExponentialSchedule(0.1, 1.0, 50), lambda k: min(1.0, 0.1 * 10 ** (k / 50))),
    "cosine": (
        rn.CosineSchedule(1.0, 0.2, 100),
        lambda k: 0.2 + 0.8 * (1 + math.cos(math.pi * min(k, 100) / 100)) / 2,
    ),
    "piecewise": (
        rn.PiecewiseSchedule((10, 60), (1.0, rn.LinearSchedule(1.0, 0.5, 50), 0.1)),
        lambda k: 1.0 if k < 10 else 1.0 - 0.01 * (k - 10) if k < 60 else 0.1,
    ),
}


@pytest.mark.parametrize("name", SCHEDULES)
def test_values_of_numbers_and_arrays(name):
    schedule, wanted = SCHEDULES[name]
    steps = [0, 1, 9, 10, 35, 59, 60, 99, 100, 101, 5000]
    for step in steps:
        values = (
            schedule(step),
            schedule(np.int64(step)),
            float(schedule(jnp.asarray(step))),
            float(jax.jit(schedule)(step)),
            schedule(torch.tensor(step, dtype=torch.float64)).item(),
            float(schedule(torch.tensor(step))),
        )
        assert isinstance(values[0], float)
        assert values == pytest.approx([wanted(step)] * len(values), rel=1e-6)
        assert values[0] == pytest.approx(wanted(step), rel=1e-12)
    np.testing.assert_allclose(schedule(jnp.asarray(steps)), list(map(wanted, steps)), rtol=1e-12)
    np.testing.assert_allclose(schedule(torch.tensor(steps)), list(map(wanted, steps)), rtol=1e-6)
    assert pickle.loads(pickle.dumps(schedule)) == schedule


def test_a_traced_step_gives_one_object_and_leaks_nothing():
    schedule, _ = SCHEDULES["piecewise"]

    def twice(step):
        def body(carry, _):
            # Inside another trace the value may not be shared with the outside, whichever asks
            # first.
            return carry + schedule(step), None

        before = jax.lax.scan(body, jnp.zeros(()), None, length=3)[0]
        first, second = schedule(step), schedule(step)
        assert first is second
        return jax.lax.scan(body, before, None, length=3)[0] + first

    with jax.checking_leaks():
        for way in (jax.grad, lambda f: jax.jit(jax.grad(f))):
            way(twice)(7.0)
        jax.vmap(twice)(jnp.arange(3.0))
    gc.collect()
    assert not schedules._MEMORY


def test_refused_arguments():
    for arguments, name in (((0, 1, 9), "initial"), ((1, -1, 9), "final")):
        with pytest.raises(ValueError, match=f"ExponentialSchedule: {name} must be a positive"):
            rn.ExponentialSchedule(*arguments)
    for kind in (rn.LinearSchedule, rn.ExponentialSchedule, rn.CosineSchedule):
        with pytest.raises(ValueError, match=f"{kind.__name__}: steps must be a positive"):
            kind(1, 1, 0)
        with pytest.raises(ValueError, match=f"{kind.__name__}: final must be a finite"):
            kind(1, math.nan, 9)
    with pytest.raises(ValueError, match="value must be a finite number, got inf"):
        rn.ConstantSchedule(math.inf)
    with pytest.raises(ValueError, match="2 boundaries need 3 pieces, got 1"):
        rn.PiecewiseSchedule((1, 2), (0.5,))
    with pytest.raises(ValueError, match="must be positive and increase"):
        rn.PiecewiseSchedule((5, 2), (0.5, 0.4, 0.3))


def test_a_temperature_is_checked_where_it_is_used():
    zero = rn.LinearSchedule(0.0, 1.0, 9)
    assert zero.range == (0.0, 1.0)
    assert rn.PiecewiseSchedule((5, 9), (0.5, zero, 2.0)).range == (0.0, 2.0)
    for schedule in (zero, rn.CosineSchedule(1.0, -1.0, 9), rn.PiecewiseSchedule((5,), (0.5, 0.0))):
        with pytest.raises(ValueError, match="relax: temperature must be positive"):
            rn.relax(lambda: None, temperature=schedule)


def test_both_hosts_export_the_same():
    for name in ("Constant", "Linear", "Exponential", "Cosine", "Piecewise"):
        assert getattr(rn, f"{name}Schedule") is getattr(rp, f"{name}Schedule")


DESCENT = rn.LinearSchedule(1.0, 0.5, 100)


def numpyro_programs(runs):
    """A discrete model and guide, the model noting that Python runs it."""

    def model(x):
        z = numpyro.sample("z", numpyro.distributions.Bernoulli(0.3))
        runs.append(1)
        numpyro.sample("x", numpyro.distributions.Normal(z, 1.0), obs=x)
        numpyro.deterministic("step", rn.current_step())

    def guide(x):
        logits = numpyro.param("logits", 0.0)
        numpyro.sample("z", numpyro.distributions.Bernoulli(logits=logits))

    return tuple(rn.relax(f, temperature=DESCENT) for f in (model, guide))


@pytest.mark.parametrize("particles", [1, 4])
def test_numpyro_update_compiles_once_in_a_hundred_steps(particles):
    runs = []
    model, guide = numpyro_programs(runs)
    svi = numpyro.infer.SVI(
        model,
        guide,
        rn.count_steps(numpyro.optim.Adam(0.01)),
        numpyro.infer.Trace_ELBO(num_particles=particles),
    )
    state = svi.init(jax.random.key(0), 0.7)
    runs.clear()
    update = jax.jit(svi.update)
    for _ in range(100):
        state, _ = update(state, 0.7)
    assert len(runs) == 1
    params = svi.get_params(state)
    assert params["relaxppl_step"] == 100.0
    assert float(DESCENT(params["relaxppl_step"])) == 0.5
    assert abs(params["logits"]) > 0.0


@pytest.mark.parametrize(
    ("optim", "stable"),
    [
        (numpyro.optim.ClippedAdam(0.01), False),
        (numpyro.optim.SGD(0.01), True),
        (optax.chain(optax.clip(1.0), optax.adamw(0.01, weight_decay=0.1)), False),
    ],
    ids=["ClippedAdam", "SGD-stable", "optax"],
)
def test_numpyro_run_advances_the_step(optim, stable):
    runs = []
    model, guide = numpyro_programs(runs)
    svi = numpyro.infer.SVI(
        model, guide, rn.count_steps(optim), numpyro.infer.TraceMeanField_ELBO(num_particles=2)
    )
    result = svi.run(jax.random.key(0), 60, 0.7, progress_bar=False, stable_update=stable)
    assert result.params["relaxppl_step"] == 60.0
    assert np.all(np.isfinite(result.losses))
    again = svi.run(jax.random.key(1), 5, 0.7, progress_bar=False, init_state=result.state)
    assert again.params["relaxppl_step"] == 65.0
    site = numpyro.handlers.trace(
        numpyro.handlers.seed(numpyro.handlers.substitute(guide, result.params), 0)
    ).get_trace(0.7)["z"]
    assert float(site["fn"].temperature) == pytest.approx(0.7)


def test_numpyro_the_temperature_that_a_step_sees():
    """Step k of the optimiser sees the temperature of k."""
    seen = []

    def model():
        t = DESCENT(rn.current_step())
        jax.debug.callback(lambda t: seen.append(float(t)), t, ordered=True)
        numpyro.sample("z", rn.RelaxedBernoulli(t, probs=0.5))

    def guide():
        t = DESCENT(rn.current_step())
        numpyro.sample("z", rn.RelaxedBernoulli(t, logits=numpyro.param("a", 0.0)))

    svi = numpyro.infer.SVI(
        model, guide, rn.count_steps(numpyro.optim.Adam(0.1)), numpyro.infer.Trace_ELBO()
    )
    state = svi.init(jax.random.key(0))
    jax.effects_barrier()
    seen.clear()
    for _ in range(4):
        state, _ = jax.jit(svi.update)(state)
    jax.effects_barrier()
    assert seen == pytest.approx([1.0, 0.995, 0.99, 0.985])


def test_numpyro_without_a_step_nothing_changes():
    def program():
        numpyro.sample("z", numpyro.distributions.Normal(numpyro.param("m", 1.0), 1.0))

    def prior():
        numpyro.sample("z", numpyro.distributions.Normal(0.0, 1.0))

    results = [
        numpyro.infer.SVI(prior, program, optim, numpyro.infer.Trace_ELBO())
        .run(jax.random.key(0), 10, progress_bar=False)
        .params
        for optim in (numpyro.optim.Adam(0.1), rn.count_steps(numpyro.optim.Adam(0.1)))
    ]
    assert results[0] == results[1]
    assert rn.current_step() == 0.0


def test_a_step_as_an_argument():
    """The other way: the caller counts."""

    def model(step):
        numpyro.sample("z", numpyro.distributions.Bernoulli(0.3))

    def guide(step):
        logits = numpyro.param("logits", 0.0)
        numpyro.sample("z", numpyro.distributions.Bernoulli(logits=logits))

    runs = []

    def annealed(program):
        def at_step(step):
            runs.append(program)
            return rn.relax(program, temperature=DESCENT(step))(step)

        return at_step

    svi = numpyro.infer.SVI(
        annealed(model),
        annealed(guide),
        numpyro.optim.Adam(0.01),
        numpyro.infer.TraceMeanField_ELBO(),
    )
    state = svi.init(jax.random.key(0), 0)
    update = jax.jit(svi.update)
    losses = []
    runs.clear()
    for step in range(20):
        state, loss = update(state, step)
        losses.append(float(loss))
    # Compiled once: the guide and the model ran as Python once each.
    assert len(runs) == 2
    # The exact KL, which has no variance, falls from step to step.
    assert np.all(np.diff(losses) < 0)


def pyro_programs(seen):
    def model(x):
        z = pyro.sample("z", pyro.distributions.Bernoulli(0.3))
        pyro.sample("x", pyro.distributions.Normal(z, 1.0), obs=x)
        seen.append(float(DESCENT(rp.current_step())))

    def guide(x):
        logits = pyro.param("logits", torch.tensor(0.0))
        pyro.sample("z", pyro.distributions.Bernoulli(logits=logits))

    return tuple(rp.relax(f, temperature=DESCENT) for f in (model, guide))


@pytest.mark.parametrize(
    "optim",
    [
        lambda: pyro.optim.Adam({"lr": 0.01}),
        lambda: pyro.optim.ClippedAdam({"lr": 0.01, "lrd": 0.999}),
        lambda: pyro.optim.ExponentialLR(
            {"optimizer": torch.optim.AdamW, "optim_args": {"lr": 0.01}, "gamma": 0.9}
        ),
    ],
    ids=["Adam", "ClippedAdam", "scheduler"],
)
def test_pyro_step_advances(optim):
    pyro.clear_param_store()
    seen = []
    model, guide = pyro_programs(seen)
    optim = rp.count_steps(optim())
    svi = pyro.infer.SVI(model, guide, optim, pyro.infer.Trace_ELBO(num_particles=1))
    for _ in range(4):
        svi.step(torch.tensor(0.7))
    assert seen == pytest.approx([1.0, 0.995, 0.99, 0.985])
    assert pyro.param("relaxppl_step").item() == 4.0
    assert pyro.param("logits").item() != 0.0
    assert "logits" in optim.get_state()
    assert "relaxppl_step" not in optim.get_state()
    trace = pyro.poutine.trace(guide).get_trace(torch.tensor(0.7))
    assert trace.nodes["z"]["fn"].temperature.item() == pytest.approx(0.98)
    if hasattr(optim.optim, "step"):
        optim.step()


def test_pyro_the_count_is_saved_with_the_parameters(tmp_path):
    pyro.clear_param_store()
    model, guide = pyro_programs([])
    svi = pyro.infer.SVI(
        model, guide, rp.count_steps(pyro.optim.Adam({"lr": 0.1})), pyro.infer.Trace_ELBO()
    )
    for _ in range(3):
        svi.step(torch.tensor(0.7))
    state = pyro.get_param_store().get_state()
    pyro.clear_param_store()
    assert rp.current_step().item() == 0.0
    pyro.clear_param_store()
    pyro.get_param_store().set_state(state)
    assert rp.current_step().item() == 3.0


def test_refused_optimisers():
    with pytest.raises(TypeError, match=r"count_steps: expected an optimiser of numpyro\.optim"):
        rn.count_steps(0.1)
    with pytest.raises(TypeError, match=r"count_steps: expected an optimiser of pyro\.optim"):
        rp.count_steps(torch.optim.Adam)
