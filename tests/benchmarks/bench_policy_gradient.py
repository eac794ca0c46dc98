"""One RELAX update against the episode's length, and the two backends' time for its parts.

Run by hand, on one thread: ``python -m tests.benchmarks.bench_policy_gradient``. The lengths, and
then the backends, take turns on the processor's clock.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("JAX_PLATFORMS", "cpu")  # The clock is the processor's.
os.environ.setdefault(
    "XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
)

import argparse
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import torch

from models.common.playing import Segment
from models.policy_gradient import Agent
from relaxppl import ops
from relaxppl.estimators import network
from relaxppl.estimators.laws import Draw, OneHotCategorical
from tests.benchmarks import table, turns

LENGTHS = (100, 200, 400, 800, 1600, 3200)


def episode(length: int) -> Segment:
    """One episode of CartPole's shape that is cut at its end; what it holds costs nothing."""
    rng = np.random.default_rng(0)
    features = rng.normal(size=(length, 1, 4)).astype(np.float32)
    ends = np.zeros((length, 1), bool)
    cut = ends.copy()
    cut[-1] = True
    actions = rng.integers(2, size=(length, 1))
    return Segment(features, actions, np.ones((length, 1), np.float32), features, ends, cut)


def lengths(rounds: int) -> str:
    """The time of a whole update: policy, critic and control variate."""
    runs: dict[tuple[str, int], turns.Run] = {}
    for name in ("relax", "a2c"):
        agent = Agent(name, SimpleNamespace(seed=0, learning_rate=5e-3), 4, 2)
        for length in LENGTHS:
            segment = episode(length)
            runs[name, length] = lambda agent=agent, segment=segment: agent.update(segment)
    found = turns.seconds(list(runs.values()), rounds).T
    times = dict(zip(runs, 1e3 * found, strict=True))
    rows = []
    for length in LENGTHS:
        relax, a2c = times["relax", length], times["a2c", length]
        cells = [f"{np.median(relax):.2f}", f"{np.median(a2c):.2f}", table.spread(relax / a2c)]
        rows.append([f"{length} steps", *cells])
    best = [times["relax", length].min() for length in LENGTHS]
    slope, start = np.polyfit(LENGTHS, best, 1)
    worst = max(abs(slope * n + start - ms) / ms for n, ms in zip(LENGTHS, best, strict=True))
    fitted = f"The least times of RELAX follow {start:.2f} ms + {1e3 * slope:.2f} µs a step"
    header = ["one update", "RELAX, ms", "A2C, ms", "RELAX, A2C = 1"]
    return f"{table.markdown(header, rows)}\n\n{fitted}, within {100 * worst:.0f} %."


def backends(rounds: int, length: int = 512, width: int = 4) -> str:
    """The time of RELAX's local gradients, and of choosing actions, on torch and JAX."""
    rng = np.random.default_rng(0)
    rows = [
        rng.normal(size=(length, 2)),
        rng.normal(size=(length, 4)),
        np.eye(2)[rng.integers(2, size=length)],
        rng.normal(size=length),
        rng.gumbel(size=(length, 2)),
    ]

    def relax(logits: Any, states: Any, actions: Any, returns: Any, noise: Any, p: Any) -> Any:
        law = OneHotCategorical(logits)
        draw = Draw(law, actions, noise)

        def variate(q: Any) -> Any:
            return relax.network_control(draw, network.on_site(q, 1, states))

        value, pull = ops.vjp(variate, p)
        h = returns[:, None] * law.score(actions) + value
        return h, pull(2.0 * h / length)

    made = network.initial(6, 64, 0)
    in_torch = [torch.tensor(row, dtype=torch.float32) for row in rows]
    in_torch.append({k: torch.tensor(v, dtype=torch.float32) for k, v in made.items()})
    in_jax = [jnp.asarray(row, jnp.float32) for row in rows]
    in_jax.append({k: jnp.asarray(v, jnp.float32) for k, v in made.items()})
    compiled = jax.jit(relax)

    w1, w2 = rng.normal(size=(4, 64)), rng.normal(size=(64, 2))
    torch_w = [torch.tensor(w, dtype=torch.float32) for w in (w1, w2)]
    jax_w = [jnp.asarray(w, jnp.float32) for w in (w1, w2)]
    seen = rng.normal(size=(width, 4)).astype(np.float32)
    logits = jax.jit(lambda x, a, b: jnp.argmax(jnp.tanh(x @ a) @ b, -1))

    def act() -> Any:
        with torch.no_grad():
            return (torch.tanh(torch.from_numpy(seen) @ torch_w[0]) @ torch_w[1]).argmax(-1).numpy()

    work: dict[str, tuple[Callable[[], Any], Callable[[], Any]]] = {
        f"local gradients of {length} steps": (
            lambda: relax(*in_torch),
            lambda: jax.block_until_ready(compiled(*in_jax)),
        ),
        f"actions of {width} environments": (act, lambda: np.asarray(logits(seen, *jax_w))),
    }
    rows = []
    for name, (in_one, in_other) in work.items():
        one, other = 1e6 * turns.seconds([in_one, in_other], rounds).T
        ratio = table.spread(other / one)
        rows.append([name, f"{np.median(one):.0f}", f"{np.median(other):.0f}", ratio])
    return table.markdown(["", "torch, µs", "JAX, µs", "JAX, torch = 1"], rows)


def main() -> None:
    """Print the two tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--turns", type=int, default=20)
    parser.add_argument("--write", action="store_true", help="keep the tables in docs/benchmarks")
    options = parser.parse_args()
    torch.set_num_threads(1)
    text = f"{lengths(options.turns)}\n\n{backends(10 * options.turns)}"
    print(text)
    if options.write:
        table.write("policy_gradient", text)


if __name__ == "__main__":
    main()
