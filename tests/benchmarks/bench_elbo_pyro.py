"""One step of each Pyro ELBO on a linear sigmoid belief network, against TraceGraph_ELBO's.

Run by hand: ``python -m tests.benchmarks.bench_elbo_pyro``. The network is 784-200-784 with a
uniform prior, batch 100, Adam, one thread; beside an ELBO stands the same estimator written by hand
in torch (``reference_sbn_torch``), and the ELBO once more without Pyro's validation, and so with
its step traced (``fit(compile=True)``). Times are the
processor's, of five steps each, in turns; a ratio is that of two neighbours in time: median, least
and largest over the turns. Peak memory is the largest sum of live tensors during a step beyond what
lives before it, by ``torch.profiler``'s record of every allocation and release; the parameters and
Adam's moments are added.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

import numpy as np
import pyro
import pyro.distributions as dist
import pyro.infer
import pyro.optim
import torch
from torch.profiler import ProfilerActivity, profile

import relaxppl.pyro.elbo.classes as rx
from relaxppl.pyro.compiled import Compiled
from tests.benchmarks import reference_sbn_torch as reference
from tests.benchmarks import table, turns

PIXELS, LATENTS, BATCH, STEPS = reference.PIXELS, reference.LATENTS, 100, 5


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


# Each with the estimator of reference_sbn_torch that is its twin. With one site the host's own is
# the score function.
ELBOS: dict[str, tuple[Callable[[], Any], str | None]] = {
    "TraceGraph": (pyro.infer.TraceGraph_ELBO, "score"),
    "score": (rx.ScoreFunction_ELBO, "score"),
    "average": (lambda: rx.ScoreFunction_ELBO(baseline="average"), None),
    "RLOO-4": (lambda: rx.RLOO_ELBO(num_particles=4), "rloo"),
    "RLOO-4, vectorised": (
        lambda: rx.RLOO_ELBO(num_particles=4, vectorize_particles=True, max_plate_nesting=1),
        "rloo",
    ),
    "VIMCO-10": (lambda: rx.VIMCO_ELBO(num_particles=10), "vimco"),
    "VIMCO-10, vectorised": (
        lambda: rx.VIMCO_ELBO(num_particles=10, vectorize_particles=True, max_plate_nesting=1),
        "vimco",
    ),
    "DisARM": (rx.DisARM_ELBO, "disarm"),
    "REBAR fixed": (lambda: rx.REBAR_ELBO(learn=False), "rebar-fixed"),
    "REBAR learned": (lambda: rx.REBAR_ELBO(learn=True), "rebar"),
    "REBAR learned, every 4": (lambda: rx.REBAR_ELBO(learn=True, variance_every=4), None),
    "RELAX": (lambda: rx.RELAX_ELBO(learn=True), "relax"),
}

DRAWS = {"rloo": 4, "vimco": 10}
"""How many draws the twins compare."""


UNTRACED = ("TraceGraph", "average", "REBAR learned, every 4")
"""What Pyro has its own way for, and what does not do the same in each step."""


def batches() -> torch.Tensor:
    """Twenty batches of random bits."""
    return (torch.rand(20, BATCH, PIXELS, generator=torch.Generator().manual_seed(0)) < 0.2).float()


def svi_steps(
    elbo: Any, data: torch.Tensor, validate: bool = True, compile: bool = False
) -> turns.Run:
    """Returns a function that takes some steps of stock SVI."""
    torch.manual_seed(0)
    pyro.clear_param_store()
    network, store = Network(), pyro.get_param_store()
    svi = pyro.infer.SVI(network.model, network.guide, pyro.optim.Adam({"lr": 1e-3}), loss=elbo)
    if compile:
        svi.loss_and_grads = Compiled(elbo).loss_and_grads
    saved: dict[str, Any] = {"params": {}, "constraints": {}}
    count = 0

    def run() -> None:
        nonlocal saved, count
        # Each network's parameters live in the store under the same names: swap them in.
        store.set_state(saved)
        with pyro.validation_enabled(validate):
            for _ in range(STEPS):
                svi.step(data[count % len(data)])
                count += 1
        saved = {"params": dict(store._params), "constraints": dict(store._constraints)}

    return run


def by_hand(estimator: str, data: torch.Tensor) -> turns.Run:
    """Returns a function that takes as many steps without a probabilistic program."""
    step, count = reference.make_step(estimator, draws=DRAWS.get(estimator, 1)), 0

    def run() -> None:
        nonlocal count
        for _ in range(STEPS):
            step(data[count % len(data)])
            count += 1

    return run


def main() -> None:
    """Print a table of times relative to TraceGraph_ELBO's."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--turns", type=int, default=25)
    parser.add_argument("--only", nargs="+", choices=ELBOS, default=list(ELBOS))
    parser.add_argument("--write", action="store_true", help="keep the table in docs/benchmarks")
    options = parser.parse_args()
    torch.set_num_threads(1)
    data = batches()
    names = list(dict.fromkeys(["TraceGraph", *options.only]))
    runs = {name: svi_steps(ELBOS[name][0](), data) for name in names}
    runs |= {
        f"{name}, unchecked": svi_steps(ELBOS[name][0](), data, validate=False) for name in names
    }
    runs |= {
        f"{name}, traced": svi_steps(ELBOS[name][0](), data, validate=False, compile=True)
        for name in names
        if name not in UNTRACED
    }
    twins = dict.fromkeys(ELBOS[name][1] for name in names if ELBOS[name][1])
    runs |= {f"{twin} by hand": by_hand(twin, data) for twin in twins}
    times = dict(
        zip(runs, turns.seconds(list(runs.values()), options.turns).T / STEPS, strict=True)
    )
    held = 3 * 4 * sum(p.numel() for p in Network().parameters())
    peaks = {name: held + peak_memory(run) for name, run in runs.items()}
    rows = []
    for name in names:
        hand, base = f"{ELBOS[name][1]} by hand", times["TraceGraph"]
        rows.append(
            [
                name,
                f"{1e3 * np.median(times[name]):.2f}",
                table.spread(times[name] / base),
                table.spread(times[name] / times[hand]) if hand in runs else None,
                table.spread(times[f"{name}, unchecked"] / times[hand]) if hand in runs else None,
                *ratios(times, f"{name}, traced", hand, "TraceGraph, unchecked"),
                f"{peaks[name] / peaks['TraceGraph']:.2f}",
                f"{peaks[name] / peaks[hand]:.2f}" if hand in runs else None,
            ]
        )
    header = ["", "ms", "TraceGraph = 1", "by hand = 1", "unchecked, by hand = 1"]
    header += ["traced, by hand = 1", "unchecked TraceGraph = 1"]
    header += ["memory, TraceGraph = 1", "by hand = 1"]
    text = table.markdown(header, rows)
    print(text)
    if options.write:
        table.write("elbo_pyro", text)


def ratios(times: dict[str, Any], name: str, *others: str) -> list[str | None]:
    """Returns a row's cells: its times over those of others, where they were measured."""
    both = [name in times and other in times for other in others]
    return [
        table.spread(times[name] / times[other]) if there else None
        for there, other in zip(both, others, strict=True)
    ]


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
