"""The rows of the Markov chain and of its relaxation, and their laws."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
from scipy import special, stats

from tests.relaxations import references as ref
from tests.relaxations.case import Bad, Case
from tests.relaxations.charts import Chart, interval
from tests.relaxations.facts import BAD_TEMPERATURE, DISCRETE, NAN, ROW_BATCH, ROWS
from tests.relaxations.laws import Continuous, Discrete, Law

RANKS = {"initial_logits": 1, "transition_logits": 3}
MOVES = np.random.default_rng(4).normal(size=(2, 2, 3, 3))


class PathsOfTwo(Chart):
    """Paths of points on a segment, by the logit of the first coordinate of each."""

    top = interval.top

    def event_shape(self, dim):
        return (dim, 2)

    def coordinates(self, x):
        return special.logit(x[..., 0])

    def point(self, y):
        return np.stack([special.expit(y), special.expit(-y)], -1)

    def log_measure(self, y):
        return (special.log_expit(y) + special.log_expit(-y)).sum(-1)


def markov_chain(initial_logits: Any, transition_logits: Any) -> Law:
    """Every path, one by one."""
    first, moves = special.softmax(initial_logits), special.softmax(transition_logits, -1)
    size, steps = len(first), 1 + len(moves)
    paths = list(product(range(size), repeat=steps))
    chances = [
        first[p[0]] * np.prod([moves[t, p[t], p[t + 1]] for t in range(steps - 1)]) for p in paths
    ]
    return Discrete(np.eye(size)[paths], chances)


def relaxed_markov_chain(temperature: Any, initial_logits: Any, transition_logits: Any) -> Law:
    """Of two states: each step a binary Concrete variable."""
    first, moves = special.softmax(initial_logits), special.softmax(transition_logits, -1)
    T, steps = float(temperature), 1 + len(transition_logits)

    def log_prob(x):
        # Of two states the logit of the first is a logistic variable over T.
        before = [np.broadcast_to(first, x[:, 0].shape)]
        before += [x[:, t] @ moves[t] for t in range(steps - 1)]
        p, y = np.stack(before, 1)[..., 0], special.logit(x[..., 0])
        each = stats.logistic.logpdf(T * y - special.logit(p)) + np.log(T)
        return (each - special.log_expit(y) - special.log_expit(-y)).sum(-1)

    def sample(rng, n):
        path, p = [], np.broadcast_to(first, (n, 2))
        for t in range(steps):
            path.append(special.softmax((np.log(p) + ref.gumbels(rng, n, 2)) / T, -1))
            p = path[-1] @ moves[t] if t < steps - 1 else p
        return np.stack(path, 1)

    return Continuous(PathsOfTwo(), steps, log_prob, sample, np.zeros(steps), 30 / T)


def chains() -> list[Case]:
    bad = (
        Bad({"initial_logits": np.array([0.1, NAN, 0.0])}, "initial_logits"),
        Bad({"initial_logits": np.array([0.1, 0.0])}, "transition_logits", structural=True),
        Bad({"transition_logits": NAN * MOVES}, "transition_logits"),
        Bad({"transition_logits": np.zeros((3, 3))}, "transition_logits", structural=True),
        Bad({"transition_logits": None}, "transition_logits", structural=True),
    )
    extremes = {"initial_logits": ROWS, "transition_logits": 60 * MOVES[0]}
    hard = Case(
        "MarkovChain",
        "logits",
        {"initial_logits": ROW_BATCH, "transition_logits": MOVES},
        markov_chain,
        RANKS,
        gives=DISCRETE,
        extremes=(extremes,),
        bad=bad,
        reparameterized=False,
    )
    soft = Case(
        "RelaxedMarkovChain",
        "logits",
        {
            "temperature": np.array([0.7, 1.3]),
            "initial_logits": ROW_BATCH[:, :2],
            "transition_logits": MOVES[:, :1, :2, :2],
        },
        relaxed_markov_chain,
        RANKS,
        gives=frozenset(),
        extremes=(
            {
                "temperature": np.array([1e-3, 0.1, 1.0, 1e2]),
                "initial_logits": ROWS[:, :2],
                "transition_logits": 60 * MOVES[0, :1, :2, :2],
            },
        ),
        bad=(*BAD_TEMPERATURE, Bad({"initial_logits": np.array([0.1, NAN])}, "initial_logits")),
    )
    return [hard, soft]
