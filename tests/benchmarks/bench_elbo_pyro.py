"""One step of each Pyro ELBO on a linear sigmoid belief network, against TraceGraph_ELBO's.

Run by hand: ``python -m tests.benchmarks.bench_elbo_pyro``. The network is 784-200-784 with a
uniform prior, batch 100, Adam; the estimators take turns, so that a busy machine slows them alike.
"""

from __future__ import annotations

import argparse
import statistics
import time
from typing import Any

import pyro
import pyro.distributions as dist
import pyro.infer
import pyro.optim
import torch

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
    "REBAR": lambda: rx.REBAR_ELBO(),
    "REBAR learned": lambda: rx.REBAR_ELBO(learn=True),
    "REBAR learned, every 4": lambda: rx.REBAR_ELBO(learn=True, variance_every=4),
    "RELAX learned": lambda: rx.RELAX_ELBO(learn=True),
}


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
        start = time.perf_counter()
        svi.step(data[count % 20])
        step.seconds.append(time.perf_counter() - start)
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
    base = [s * 1e3 for s in steps["TraceGraph"].seconds[5:]]
    print(f"{'':24s} {'min ms':>8s} {'median':>8s} {'ratio of min':>13s} {'of medians':>11s}")
    for name, step in steps.items():
        ms = [s * 1e3 for s in step.seconds[5:]]
        low, mid = min(ms), statistics.median(ms)
        print(
            f"{name:24s} {low:8.2f} {mid:8.2f} {low / min(base):13.2f} "
            f"{mid / statistics.median(base):11.2f}"
        )


if __name__ == "__main__":
    main()
