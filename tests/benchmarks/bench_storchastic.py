"""storchastic 0.3.7 against this library in Pyro: the time of a step, and whether it is unbiased.

Run by hand: ``python -m tests.benchmarks.bench_storchastic --python PATH``, with an interpreter
that imports storchastic (``make storchastic-env``). Both train the linear sigmoid belief network
784-200-784 with the KL from the uniform prior integrated, batch 100, Adam; the two processes take
turns of five steps, on one thread each, and their times are their processors' own. Ours validates
its arguments, as is Pyro's default, and once more does not, as storchastic turns validation off.

The bias is that of the gradient of E[|b A|^2 + b c] + KL in the logits of ten Bernoulli variables:
the mean of many single estimates at the estimators' initial parameters, against the sum over all
1,024 values.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import itertools
import json
import subprocess
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pyro
import pyro.distributions as dist
import torch

import relaxppl.pyro as rx
from tests.benchmarks import table
from tests.benchmarks.bench_elbo_pyro import STEPS, batches, svi_steps
from tests.benchmarks.turns import clock

LATENTS, ROWS = 10, 500

# storchastic's, and ours for the same purpose: ARM is what DisARM improves on.
PAIRS: dict[str, tuple[str, Callable[[], Any]]] = {
    "score": ("score", lambda: rx.ScoreFunction_ELBO(exact_kl=True)),
    "RLOO-4": (
        "RLOO-4",
        lambda: rx.RLOO_ELBO(
            num_particles=4, vectorize_particles=True, max_plate_nesting=1, exact_kl=True
        ),
    ),
    "ARM": ("DisARM", lambda: rx.DisARM_ELBO(exact_kl=True)),
    "DisARM": ("DisARM", lambda: rx.DisARM_ELBO(exact_kl=True)),
    "REBAR": ("REBAR", lambda: rx.REBAR_ELBO(learn=True, exact_kl=True)),
    "RELAX": ("RELAX", lambda: rx.RELAX_ELBO(learn=True, exact_kl=True)),
}


class Other:
    """The process that has storchastic."""

    def __init__(self, python: str) -> None:
        command = [python, "-m", "tests.benchmarks.storchastic_steps"]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True)

    def ask(self, **request: Any) -> dict[str, Any]:
        """Sends a request and waits for its answer."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            raise RuntimeError(f"the process with storchastic ended at {request}")
        return json.loads(answer)


def speed(other: Other, turns: int) -> str:
    """The table of a step's time."""
    data = batches()
    rows = []
    for theirs, (ours, make) in PAIRS.items():
        checked, unchecked = (svi_steps(make(), data, validate) for validate in (True, False))
        times = []
        for _ in range(turns + 2):
            their = other.ask(steps=theirs, count=STEPS)["seconds"]
            times.append([their, clock(checked), clock(unchecked)])
        found = np.array(times[2:]) / STEPS
        ratios = [table.spread(found[:, i] / found[:, 0]) for i in (1, 2)]
        rows.append([theirs, f"{1e3 * np.median(found[:, 0]):.2f}", ours, *ratios])
    header = ["storchastic", "ms", "ours", "storchastic = 1", "the same, unchecked"]
    return table.markdown(header, rows)


def toy() -> dict[str, np.ndarray]:
    """The toy's parameters."""
    rng = np.random.default_rng(0)
    return {
        "logits": rng.normal(size=LATENTS),
        "matrix": rng.normal(size=(LATENTS, LATENTS)) / LATENTS**0.5,
        "linear": rng.normal(size=LATENTS),
    }


def enumerated(given: dict[str, np.ndarray]) -> np.ndarray:
    """The toy's exact gradient, by the sum over all values."""
    logits = torch.tensor(given["logits"], requires_grad=True)
    b = torch.tensor(list(itertools.product([0.0, 1.0], repeat=LATENTS)), dtype=logits.dtype)
    cost = ((b @ torch.tensor(given["matrix"])) ** 2).sum(-1) + b @ torch.tensor(given["linear"])
    log_q = torch.distributions.Bernoulli(logits=logits).log_prob(b).sum(-1)
    value = (log_q.exp() * (cost + log_q + LATENTS * np.log(2.0))).sum()
    return torch.autograd.grad(value, logits)[0].numpy()


def our_gradients(make: Callable[[], Any], given: dict[str, np.ndarray], draws: int) -> Any:
    """The mean of our gradients of the toy, and its standard errors; a row is a draw."""
    pyro.clear_param_store()
    pyro.set_rng_seed(0)
    start, matrix, linear = (torch.tensor(v, dtype=torch.float32) for v in given.values())

    def model() -> None:
        with pyro.plate("rows", ROWS):
            b = pyro.sample("b", dist.Bernoulli(logits=torch.zeros(LATENTS)).to_event(1))
            pyro.factor("cost", -((b @ matrix) ** 2).sum(-1) - b @ linear)

    def guide() -> None:
        logits = pyro.param("logits", start.expand(ROWS, -1).clone())
        with pyro.plate("rows", ROWS):
            pyro.sample("b", dist.Bernoulli(logits=logits).to_event(1))

    elbo, found = make(), []
    for _ in range(draws // ROWS):
        elbo.loss_and_grads(model, guide)
        leaf = pyro.param("logits").unconstrained()
        found.append(leaf.grad.clone())
        leaf.grad = None
    each = torch.cat(found).double()
    return each.mean(0).numpy(), (each.std(0) / len(each) ** 0.5).numpy()


def bias(other: Other, draws: int) -> str:
    """The table of the mean gradients' distance from the exact one."""
    given = toy()
    exact, sent = enumerated(given), {name: v.tolist() for name, v in given.items()}
    rows = []
    for theirs, (ours, make) in PAIRS.items():
        answer = other.ask(gradients=theirs, draws=draws, **sent)
        cells = [theirs]
        for mean, error in (
            (np.array(answer["mean"]), np.array(answer["error"])),
            our_gradients(make, given, draws),
        ):
            gap, norm = mean - exact, np.linalg.norm(exact)
            off = f"{np.linalg.norm(gap) / norm:.3f} ± {np.linalg.norm(error) / norm:.3f}"
            cells += [off, f"{np.abs(gap / error).max():.1f}"]
        rows.append([*cells[:3], ours, *cells[3:]])
    header = ["storchastic", "off by", "worst, standard errors"]
    return table.markdown([*header, "ours", *header[1:]], rows)


def main() -> None:
    """Print the two tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--python", required=True, help="an interpreter with storchastic")
    parser.add_argument("--turns", type=int, default=25)
    parser.add_argument("--draws", type=int, default=100_000, help="of the toy's gradient")
    parser.add_argument("--write", action="store_true", help="keep the tables in docs/benchmarks")
    options = parser.parse_args()
    torch.set_num_threads(1)
    other = Other(options.python)
    versions = other.ask()
    for name, make in (
        ("storchastic_speed", partial(speed, other, options.turns)),
        ("storchastic_bias", partial(bias, other, options.draws)),
    ):
        text = make()
        print(text, flush=True)
        if options.write:
            table.write(name, text, {"storchastic": versions["version"]})


if __name__ == "__main__":
    main()
