"""How long sequence programs take to compile and to step, by the length of the series.

python -m tests.benchmarks.bench_sequences 1000
"""

from __future__ import annotations

import argparse
import importlib
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpyro
import pyro
import torch

from models.rdata import load_returns, load_sunspots

PROGRAMS = {"hidden_markov": {"state": "chain"}, "switching_dynamics": {"phase": "chain"}}
LOOP = "markov loop"
LOSSES = {
    "LocalExpectation_ELBO": lambda length: {"max_evaluations": 2 * length},
    "RLOO_ELBO": lambda length: {"num_particles": 2},
}


def on_numpyro(model: Any, guide: Any, loss: Any, y: Any) -> tuple[float, float]:
    """Seconds of CPU to trace and compile a step, and of one step."""
    svi = numpyro.infer.SVI(model, guide, numpyro.optim.Adam(0.01), loss)
    y = jnp.asarray(y)
    began = time.process_time()
    state = svi.init(jax.random.key(0), y)
    step = jax.jit(svi.update).lower(state, y).compile()
    compiled = time.process_time() - began
    began = time.process_time()
    for _ in range(3):
        state, _ = step(state, y)
    jax.block_until_ready(state)
    return compiled, (time.process_time() - began) / 3


def on_pyro(model: Any, guide: Any, loss: Any, y: Any) -> tuple[float, float]:
    """Seconds of CPU of the first step, which finds what depends on what, and of a later one."""
    pyro.clear_param_store()
    svi = pyro.infer.SVI(model, guide, pyro.optim.Adam({"lr": 0.01}), loss)
    y = torch.as_tensor(y)
    began = time.process_time()
    svi.step(y)
    first = time.process_time() - began
    began = time.process_time()
    for _ in range(2):
        svi.step(y)
    return first, (time.process_time() - began) / 2


def loop(returns: torch.Tensor) -> None:
    """The hidden Markov model of ``models.pyro`` with a site for each day."""
    stay = pyro.sample("stay", pyro.distributions.Beta(20.0, 1.0).expand([2]).to_event(1))
    moves = torch.stack([stay[..., 0], 1 - stay[..., 0], 1 - stay[..., 1], stay[..., 1]], -1)
    moves = moves.reshape((*stay.shape[:-1], 2, 2))
    law = torch.full((2,), 0.5)
    for t in pyro.markov(range(len(returns))):
        state = pyro.sample(f"state_{t}", pyro.distributions.OneHotCategorical(law))
        law = (state[..., None] * moves).sum(-2)
        scale = 0.5 + state[..., 1]
        pyro.sample(f"return_{t}", pyro.distributions.Normal(0.0, scale), obs=returns[t])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("length", type=int, help="of the series")
    parser.add_argument("--hosts", nargs="+", default=["numpyro", "pyro"])
    parser.add_argument("--programs", nargs="+", default=[*PROGRAMS, LOOP])
    options = parser.parse_args()
    length = options.length
    print("| program | loss | host | compile or first step, s | step, s |\n|---|---|---|---|---|")
    for name in options.programs:
        y = load_sunspots(length).root if name == "switching_dynamics" else load_returns(length)
        for loss, arguments in LOSSES.items():
            if name == LOOP and loss == "LocalExpectation_ELBO":
                continue  # Two paths a day, each a run of Python over all days.
            for host in ["pyro"] if name == LOOP else options.hosts:
                rx = importlib.import_module(f"relaxppl.{host}")
                if name == LOOP:
                    model, structure = loop, "chain"
                else:
                    model = importlib.import_module(f"models.{host}.{name}").model
                    structure = PROGRAMS[name]
                guide = rx.AutoDiscrete(model, structure=structure)
                measure = on_numpyro if host == "numpyro" else on_pyro
                first, step = measure(model, guide, getattr(rx, loss)(**arguments(length)), y)
                print(f"| {name} | {loss} | {host} | {first:.1f} | {step:.2f} |", flush=True)


if __name__ == "__main__":
    main()
