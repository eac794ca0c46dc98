"""What of a Pyro step is Pyro's own: its runs of the program and its optimiser, without any loss.

Run by hand: ``python -m tests.benchmarks.bench_pyro_runs``. On the network of ``bench_elbo_pyro``,
validation off, an estimator that evaluates the model twice needs at least a run of the guide and
two of the model under ``poutine.trace``, their log densities, and a step of ``pyro.optim``. The
table puts these in the place of the same lines of the step by hand, all else of which stays plain
torch: what a Pyro step that is not traced takes at the least. Times are the processor's, in turns;
median, least and largest ratio.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import numpy as np
import pyro
import pyro.optim
import torch
from pyro import poutine

from tests.benchmarks import bench_elbo_pyro as steps
from tests.benchmarks import reference_sbn_torch as reference
from tests.benchmarks import table, turns

TWINS = {"DisARM": "disarm", "REBAR learned": "rebar"}
Params = dict[str, torch.Tensor]


def repeated(run: Callable[[torch.Tensor], object], data: torch.Tensor) -> turns.Run:
    """Returns a function that does something for as many batches as a turn has steps."""

    def several() -> None:
        for batch in data[: steps.STEPS]:
            run(batch)

    return several


def with_pyro(data: torch.Tensor) -> turns.Run:
    """Returns runs of the guide and, twice, of the model, with their log densities."""
    torch.manual_seed(0)
    network = steps.Network()

    def run(x: torch.Tensor) -> None:
        guide = poutine.trace(network.guide).get_trace(x)
        guide.compute_log_prob()
        for _ in range(2):
            replayed = poutine.replay(network.model, trace=guide)
            poutine.trace(replayed).get_trace(x).compute_log_prob()

    runs = repeated(run, data)

    def unchecked() -> None:
        pyro.clear_param_store()
        with pyro.validation_enabled(False):
            runs()

    return unchecked


def by_hand(data: torch.Tensor) -> turns.Run:
    """Returns the same in plain torch."""
    params = reference.initial_params(0, "score")

    def run(x: torch.Tensor) -> None:
        a = x @ params["W"] + params["w"]
        b = (reference.logistic(a) + a > 0).to(a.dtype)
        for _ in range(2):
            reference.bound_terms(params, b, a, x)

    return repeated(run, data)


def optimisers(estimator: str, data: torch.Tensor) -> dict[str, turns.Run]:
    """Returns steps of Pyro's optimiser and of torch's on the same parameters."""
    both: list[list[torch.Tensor]] = []
    for _ in range(2):
        both.append(list(reference.initial_params(0, estimator).values()))
        for parameter in both[-1]:
            parameter.grad = torch.full_like(parameter, 1e-3)
    pyros, adam = pyro.optim.Adam({"lr": 1e-3}), torch.optim.Adam(both[1], 1e-3)
    return {
        "pyro.optim": repeated(lambda x: pyros(both[0]), data),
        "torch.optim": repeated(lambda x: adam.step(), data),
    }


def main() -> None:
    """Print a table of times relative to the step by hand."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--turns", type=int, default=25)
    parser.add_argument("--write", action="store_true", help="keep the table in docs/benchmarks")
    options = parser.parse_args()
    torch.set_num_threads(1)
    data, rows = steps.batches(), []
    for name, twin in TWINS.items():
        runs = {
            "ours": steps.svi_steps(steps.ELBOS[name][0](), data, validate=False),
            "hand": steps.by_hand(twin, data),
            "pyro": with_pyro(data),
            "plain": by_hand(data),
            **optimisers(twin, data),
        }
        found = turns.seconds(list(runs.values()), options.turns).T / steps.STEPS
        of = dict(zip(runs, found, strict=True))
        runs_more = of["pyro"] - of["plain"]
        optim_more = of["pyro.optim"] - of["torch.optim"]
        rows.append(
            [
                name,
                f"{1e3 * np.median(of['hand']):.2f}",
                table.spread(of["pyro"] / of["hand"]),
                table.spread(of["plain"] / of["hand"]),
                table.spread((of["hand"] + runs_more + optim_more) / of["hand"]),
                table.spread(of["ours"] / of["hand"]),
            ]
        )
    header = ["by hand = 1", "by hand, ms", "Pyro's runs alone", "the same by hand"]
    text = table.markdown([*header, "by hand with Pyro's runs and optimiser", "ours"], rows)
    print(text)
    if options.write:
        table.write("pyro_runs", text)


if __name__ == "__main__":
    main()
