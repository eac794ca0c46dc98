"""Models and guides that loop by pyro.markov: every estimator against enumeration, and marks."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch

import relaxppl.pyro as rx
from tests.hosts.elbo.pyro_case import Case, bernoulli, bits, expectation, normal, tensor
from tests.hosts.elbo.pyro_unbiased import measure

Y = (0.4, -1.0, 1.3, 0.8)
STEPS = len(Y)


def program(param: Any, infer: Any) -> Any:
    """A switch whose last value moves it, in the model and in the guide."""

    def model() -> None:
        stay, last = param("stay"), torch.zeros(1, dtype=torch.float64)
        for t in pyro.markov(range(STEPS)):
            law = dist.Bernoulli(logits=stay * (last - 0.4))
            # The guide has the site: the mark changes nothing.
            last = pyro.sample(f"z_{t}", law, infer={"enumerate": "parallel"})
            loc = 1.5 * last - 0.5
            pyro.sample(f"y_{t}", dist.Normal(loc, 0.8), obs=torch.full_like(loc, Y[t]))

    def guide() -> None:
        q, r, last = param("q"), param("r"), torch.zeros(1, dtype=torch.float64)
        for t in pyro.markov(range(STEPS)):
            options = infer.get(f"z_{t}", {})
            law = dist.Bernoulli(logits=q[..., t] + r * last)
            last = pyro.sample(f"z_{t}", law, infer=options)

    return model, guide


def log_densities(
    q: torch.Tensor, r: torch.Tensor, stay: torch.Tensor
) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """log q and log p of each path."""
    found = []
    for path in bits(STEPS):
        before = torch.cat([torch.zeros_like(path[:1]), path[:-1]])
        log_p = bernoulli(stay * (before - 0.4), path)
        log_p = log_p + sum(normal(Y[t], 1.5 * path[t] - 0.5, 0.8) for t in range(STEPS))
        found.append((bernoulli(q[0] + r * before, path), log_p))
    return found


def exact(q: torch.Tensor, r: torch.Tensor, stay: torch.Tensor) -> torch.Tensor:
    return expectation(log_densities(q, r, stay))


def exact_of_two(q: torch.Tensor, r: torch.Tensor, stay: torch.Tensor) -> torch.Tensor:
    """The bound of two draws, log of the mean of their weights."""
    total: Any = 0.0
    for (q_1, p_1), (q_2, p_2) in itertools.product(log_densities(q, r, stay), repeat=2):
        bound = torch.logaddexp(p_1 - q_1, p_2 - q_2) - np.log(2.0)
        total = total - (q_1 + q_2).exp() * bound
    return total


def wake_of_two(q: torch.Tensor, r: torch.Tensor, stay: torch.Tensor) -> torch.Tensor:
    """A value whose gradient is the mean of reweighted wake-sleep's with two draws."""
    total: Any = 0.0
    for pair in itertools.product(log_densities(q, r, stay), repeat=2):
        log_q, log_p = (torch.stack([draw[i] for draw in pair]) for i in (0, 1))
        weights = (log_p - log_q).softmax(0) * log_q.sum(0).exp()
        total = total - (weights.detach() * (log_p + log_q)).sum()
    return total


INITIAL = {"q": tensor([0.3, -0.2, 0.5, 0.1]), "r": tensor(0.7), "stay": tensor(1.1)}
MARKOV = Case("markov", INITIAL, program, exact, depth=STEPS)
OF_TWO = {
    "VIMCO_ELBO": Case("markov of two", INITIAL, program, exact_of_two, depth=STEPS),
    "ReweightedWakeSleep_ELBO": Case("wake of two", INITIAL, program, wake_of_two, depth=STEPS),
}

ELBOS = {
    "score": rx.ScoreFunction_ELBO(baseline="average"),
    "rloo": rx.RLOO_ELBO(num_particles=2),
    "disarm": rx.DisARM_ELBO(),
    "arms": rx.ARMS_ELBO(num_particles=3),
    "local": rx.LocalExpectation_ELBO(),
    "rebar": rx.REBAR_ELBO(temperature=0.6, eta=0.7, learn=False),
    "relax": rx.RELAX_ELBO(hidden=3, learn=False),
}


@pytest.mark.parametrize("name", ELBOS)
def test_gradients_of_a_markov_loop(name: str) -> None:
    outcome = measure(ELBOS[name], MARKOV, draws=5_000, calls=1)
    assert outcome.worst < 4
    assert outcome.error < 0.2


@pytest.mark.parametrize("name", OF_TWO)
def test_gradients_of_two_draws_of_a_markov_loop(name: str) -> None:
    elbo = getattr(rx, name)(num_particles=2)
    assert measure(elbo, OF_TWO[name], draws=5_000, calls=1).worst < 4


def marked(steps: int) -> tuple[Any, Any]:
    """A loop of states that only the model has, beside a level that the guide draws."""
    moves = torch.tensor([[0.8, 0.2], [0.3, 0.7]], dtype=torch.float64)
    seen = torch.arange(steps, dtype=torch.float64).sin()

    def model() -> None:
        level = pyro.sample("level", dist.Bernoulli(tensor(0.5)[0]))
        law = torch.tensor([0.7, 0.3], dtype=torch.float64)
        for t in pyro.markov(range(steps)):
            z = pyro.sample(f"z_{t}", dist.Categorical(law), infer={"enumerate": "parallel"})
            pyro.sample(f"y_{t}", dist.Normal(level + z.double(), 0.8), obs=seen[t])
            law = moves[z]

    def guide() -> None:
        pyro.sample("level", dist.Bernoulli(logits=pyro.param("q", torch.tensor(30.0).double())))

    return model, guide


def test_marked_states_of_a_markov_loop_are_summed_out() -> None:
    pyro.clear_param_store()
    moves, ahead = np.array([[0.8, 0.2], [0.3, 0.7]]), np.array([0.7, 0.3])
    log_p = np.log(0.5)
    for y in np.sin(np.arange(4.0)):
        ahead = ahead * np.exp(-0.5 * ((y - 1.0 - np.arange(2.0)) / 0.8) ** 2)
        log_p += np.log(ahead.sum() / (0.8 * np.sqrt(2 * np.pi)))
        ahead = ahead / ahead.sum() @ moves
    assert abs(rx.DisARM_ELBO().loss(*marked(4)) + log_p) < 1e-9
    with pytest.raises(NotImplementedError, match=r"'z_60'.*60 sites.*MarkovChain.*'chain'"):
        rx.DisARM_ELBO().loss(*marked(70))
