"""A training saved by the hosts' own means goes on bit for bit, with all that estimators learn.

``fit(checkpoint=...)`` is in test_checkpoint.py. What is learned beside the program: RELAX's
network, temperature and factor, a network and an average as baselines; a schedule's count of steps.
"""

from __future__ import annotations

import pickle
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
import pyro
import torch

from relaxppl.estimators.score import ScoreFunction
from tests.adapter import HOSTS

FIRST, REST = 6, 5
SEEN = np.linspace(-1.0, 1.0, 6).reshape(3, 2)


def training(host: Any) -> Any:
    """SVI with everything that an estimator may carry, and a schedule."""

    def model() -> None:
        with host.plate("rows", 3):
            z = host.sample("z", host.dist.Bernoulli(host.array(0.3)))
            w = host.sample("w", host.dist.Bernoulli(host.array(0.6)))
            v = host.sample("v", host.dist.Bernoulli(host.array(0.5)))
            seen = host.array(SEEN[:, 0])
            host.sample("x", host.dist.Normal(z + w * v, 1.0), obs=seen)

    of_input = ScoreFunction(baseline="network", hidden=2)
    infer = {
        "z": {},
        "w": {"estimator": ScoreFunction(baseline="average")},
        "v": {"estimator": of_input, "estimator_input": host.array(SEEN)},
    }

    def guide() -> None:
        start = {n: host.lib.param(f"{n}_logits", host.array(np.zeros(3))) for n in infer}
        with host.plate("rows", 3):
            for name, logits in start.items():
                host.sample(name, host.dist.Bernoulli(logits=logits), infer=infer[name])

    elbo = host.rx.RELAX_ELBO(hidden=2, debias=host.rx.LinearSchedule(0.0, 1.0, FIRST + REST))
    adam = host.lib.optim.Adam(0.05) if host.name == "numpyro" else pyro.optim.Adam({"lr": 0.05})
    return host.lib.infer.SVI(model, elbo.prepare(guide), host.rx.count_steps(adam), elbo)


CARRIED = {
    "relaxppl_step",
    "z.estimator.temperature",
    "z.estimator.eta",
    "z.estimator.weight_out",
    "w.baseline.average",
    "v.baseline.weight_out",
}


def check(begun: dict[str, Any], whole: dict[str, Any], rest: dict[str, Any]) -> None:
    assert whole.keys() >= CARRIED
    for name, value in whole.items():
        assert not np.array_equal(value, begun[name]), name
        np.testing.assert_array_equal(value, rest[name], err_msg=name)


def test_the_state_of_svi_by_pickle_and_by_orbax(tmp_path: Any) -> None:
    svi = training(HOSTS["numpyro"])
    key, update = jax.random.PRNGKey(0), jax.jit(svi.update)
    state = jax.jit(svi.init)(key)

    def steps(state: Any, count: int) -> Any:
        for _ in range(count):
            state = update(state)[0]
        return state

    def values(state: Any) -> dict[str, Any]:
        return {**svi.get_params(state), **state.mutable_state}

    half = steps(state, FIRST)
    pickled = pickle.dumps(half)
    with ocp.StandardCheckpointer() as files:
        files.save(tmp_path / "state", half)
        files.wait_until_finished()
    whole = values(steps(half, REST))
    # What a new session can say of the state: its shapes.
    like = jax.eval_shape(training(HOSTS["numpyro"]).init, key)
    with ocp.StandardCheckpointer() as files:
        stored = files.restore(tmp_path / "state", like)
    for saved in (pickle.loads(pickled), stored):
        check(values(state), whole, values(steps(saved, REST)))


def test_the_parameter_store_and_the_optimiser_of_pyro(tmp_path: Any) -> None:
    files = tmp_path / "store", tmp_path / "optimiser"
    store = pyro.get_param_store()

    def begun(seed: int) -> Any:
        pyro.clear_param_store()
        pyro.set_rng_seed(seed)
        return training(HOSTS["pyro"])

    def steps(svi: Any, count: int) -> tuple[list[float], dict[str, Any]]:
        losses = [svi.step() for _ in range(count)]
        return losses, {n: x.detach().clone().numpy() for n, x in store.items()}

    svi = begun(0)
    _, first = steps(svi, 1)
    steps(svi, FIRST - 1)
    store.save(files[0])
    svi.optim.save(files[1])
    random = torch.get_rng_state()
    losses, whole = steps(svi, REST)

    svi = begun(1)
    store.load(files[0])
    svi.optim.load(files[1])
    torch.set_rng_state(random)
    found, rest = steps(svi, REST)
    assert found == losses
    check(first, whole, rest)
