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

PROGRAMS = {"hidden_markov": "state", "switching_dynamics": "phase"}
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


def main(hosts: tuple[str, ...] = ("numpyro", "pyro")) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("length", type=int, help="of the series")
    length = parser.parse_args().length
    print("| program | loss | host | compile or first step, s | step, s |\n|---|---|---|---|---|")
    for name, site in PROGRAMS.items():
        y = load_returns(length) if name == "hidden_markov" else load_sunspots(length).root
        for loss, options in LOSSES.items():
            for host in hosts:
                rx = importlib.import_module(f"relaxppl.{host}")
                model = importlib.import_module(f"models.{host}.{name}").model
                guide = rx.AutoDiscrete(model, structure={site: "chain"})
                measure = on_numpyro if host == "numpyro" else on_pyro
                first, step = measure(model, guide, getattr(rx, loss)(**options(length)), y)
                print(f"| {name} | {loss} | {host} | {first:.1f} | {step:.2f} |", flush=True)


if __name__ == "__main__":
    main()
