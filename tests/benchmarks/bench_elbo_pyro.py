"""One step of each Pyro ELBO on a linear sigmoid belief network, against TraceGraph_ELBO's.

Run by hand: ``python -m tests.benchmarks.bench_elbo_pyro``. The network is 784-200-784 with a
uniform prior, batch 100, Adam, one thread. Times are the processor's, and the estimators take
turns, so that a busy machine slows them little and alike; a ratio is that of two neighbours in
time: median, least and largest over the rounds. Peak memory is the largest sum of live tensors
during a step beyond what lives before it, by ``torch.profiler``'s record of every allocation and
release; the parameters and Adam's moments are added.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import numpy as np
import pyro
import pyro.distributions as dist
import pyro.infer
import pyro.optim
import torch
from torch.profiler import ProfilerActivity, profile

import relaxppl.pyro.elbo as rx

PIXELS, LATENTS, BATCH = 784, 200, 100


class Network(torch.nn.Module):
    """The model's and the guide's two linear maps."""

    def __init__(self) -> None:
        super().__init__()
        self.decoder = torch.nn.Linear(LATENTS, PIXELS)
        self.encoder = torch.nn.Linear(PIXELS, LATENTS)

    def model(self, x: torch.Tensor) -> None:
        pyro.module("network", self)
        with pyro.plate("batch", len(x)):
            b = pyro.sample("b", dist.Bernoulli(logits=x.new_zeros(LATENTS)).to_event(1))
            pyro.sample("x", dist.Bernoulli(logits=self.decoder(b)).to_event(1), obs=x)

    def guide(self, x: torch.Tensor) -> None:
        pyro.module("network", self)
        with pyro.plate("batch", len(x)):
            pyro.sample("b", dist.Bernoulli(logits=self.encoder(x)).to_event(1))


ELBOS: dict[str, Any] = {
    "TraceGraph": lambda: pyro.infer.TraceGraph_ELBO(),
    "score": lambda: rx.ScoreFunction_ELBO(),
    "average": lambda: rx.ScoreFunction_ELBO(baseline="average"),
    "RLOO-2": lambda: rx.RLOO_ELBO(),
    "DisARM": lambda: rx.DisARM_ELBO(),
    "REBAR fixed": lambda: rx.REBAR_ELBO(),
    "REBAR learned": lambda: rx.REBAR_ELBO(learn=True),
    "REBAR learned, every 4": lambda: rx.REBAR_ELBO(learn=True, variance_every=4),
    "REBAR learned, tenth": lambda: rx.REBAR_ELBO(learn=True, variance_fraction=0.1),
    "RELAX": lambda: rx.RELAX_ELBO(learn=True),
}


BARS = {"REBAR learned": 2.2}


def stepper(name: str) -> Any:
    """Returns a function that takes one SVI step on a new batch of random bits."""
    torch.manual_seed(0)
    network = Network()
    data = (torch.rand(20, BATCH, PIXELS) < 0.2).float()
    store = pyro.get_param_store()
    saved: dict[str, Any] = {}
    svi = pyro.infer.SVI(
        network.model, network.guide, pyro.optim.Adam({"lr": 1e-3}), loss=ELBOS[name]()
    )
    count = 0

    def step() -> None:
        nonlocal saved, count
        # Each network's parameters live in the store under the same names: swap them in.
        store.set_state(saved) if saved else store.clear()
        start = time.process_time()
        svi.step(data[count % 20])
        step.seconds.append(time.process_time() - start)
        count += 1
        saved = {"params": dict(store._params), "constraints": dict(store._constraints)}

    step.seconds = []
    return step


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--only", nargs="*", default=list(ELBOS))
    given = parser.parse_args()
    torch.set_num_threads(1)
    names = dict.fromkeys(["TraceGraph", *given.only])
    steps = {}
    for name in names:
        pyro.clear_param_store()
        steps[name] = stepper(name)
    for _ in range(given.rounds):
        for step in steps.values():
            step()
    table = {name: np.array(step.seconds[5:]) for name, step in steps.items()}
    base, held = table["TraceGraph"], 3 * 4 * sum(p.numel() for p in Network().parameters())
    peaks = {name: held + peak_memory(step) for name, step in steps.items()}
    print(f"{'':24s} {'ms':>7s} {'ratio':>6s} {'least':>6s} {'most':>6s} {'bar':>4s} {'peak':>6s}")
    for name, seconds in table.items():
        ratio = seconds / base
        print(
            f"{name:24s} {1e3 * np.median(seconds):7.2f} {np.median(ratio):6.2f} "
            f"{ratio.min():6.2f} {ratio.max():6.2f} {BARS.get(name, ''):>4} "
            f"{peaks[name] / peaks['TraceGraph']:6.2f}"
        )


def peak_memory(step: Any) -> int:
    """Returns how many bytes of tensors live at once in a step, beyond those before it."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as record:
        step()
    live = most = 0
    events = record.profiler.kineto_results.events()
    changes = [(e.start_ns(), e.nbytes()) for e in events if e.name() == "[memory]"]
    for _, change in sorted(changes):
        live += change
        most = max(most, live)
    return most


if __name__ == "__main__":
    main()
