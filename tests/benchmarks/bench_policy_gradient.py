"""One RELAX update against the episode's length, and the two backends' time for its parts.

Run by hand: ``python -m tests.benchmarks.bench_policy_gradient``. The lengths, and then the
backends, take turns, so that a busy machine slows them alike.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import torch

from models.policy_gradient.agent import Agent
from models.policy_gradient.result import Settings
from models.policy_gradient.rollout import Segment
from relaxppl import ops
from relaxppl.estimators import network, rebar
from relaxppl.estimators.laws import Draw, OneHotCategorical

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


def seconds(work: Any) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def lengths(rounds: int) -> None:
    """Prints the time of a whole update: policy, critic and control variate."""
    agents = {}
    for name in ("a2c", "relax"):
        settings = Settings("CartPole-v1", name, 0, 1, 5e-3, 0.99)
        agents[name] = Agent(settings, 4, 2)
    episodes = {length: episode(length) for length in LENGTHS}
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found: dict[tuple[str, int], list[float]] = {}
    for _ in range(rounds):
        for length, segment in episodes.items():
            for name, agent in agents.items():
                took = seconds(lambda agent=agent, segment=segment: agent.update(segment))
                found.setdefault((name, length), []).append(1e3 * took)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    print(f"{'one update':>10s}{'relax min':>12s}{'median':>10s}{'a2c min':>12s}{'median':>10s}")
    for length in LENGTHS:
        line = f"{length:5d} steps"
        for name in ("relax", "a2c"):
            each = found[name, length]
            line += f"{min(each):9.2f} ms{statistics.median(each):7.2f} ms"
        print(line)
    best = [min(found["relax", length]) for length in LENGTHS]
    slope, start = np.polyfit(LENGTHS, best, 1)
    worst = max(abs(slope * n + start - ms) / ms for n, ms in zip(LENGTHS, best, strict=True))
    print(f"relax: {start:.2f} ms + {1e3 * slope:.2f} us a step, within {100 * worst:.0f} %")
    print(f"memory: the process grew by {grown:.0f} MiB while all of them ran")


def backends(rounds: int, length: int = 512, width: int = 4) -> None:
    """Prints the time of RELAX's local gradients, and of choosing actions, on torch and JAX."""
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
            return rebar.network_control(draw, network.on_site(q, 1, states))

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

    work = {
        "gradient, torch": lambda: relax(*in_torch),
        "gradient, jax": lambda: jax.block_until_ready(compiled(*in_jax)),
        "actions, torch": act,
        "actions, jax": lambda: np.asarray(logits(seen, *jax_w)),
    }
    found: dict[str, list[float]] = {name: [] for name in work}
    for _ in range(rounds):
        for name, one in work.items():
            found[name].append(1e6 * seconds(one))
    for name, each in found.items():
        print(f"{name:16s} min {min(each):8.1f} us   median {statistics.median(each):8.1f} us")
    least = {name: min(each) for name, each in found.items()}
    for host in ("torch", "jax"):
        whole = least[f"gradient, {host}"] + least[f"actions, {host}"] * length / width
        print(f"{host}: {whole / 1e3:.2f} ms for {length} steps of {width} environments")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=30)
    given = parser.parse_args()
    torch.set_num_threads(1)
    lengths(given.rounds)
    backends(10 * given.rounds)


if __name__ == "__main__":
    main()
