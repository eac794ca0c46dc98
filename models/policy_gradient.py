"""RELAX as a policy gradient: learns to act, beside REINFORCE and A2C, on torch alone.

The reward is a black box and the actions are drawn: the case for which RELAX was made. All
algorithms train the same networks on the same number of environment steps; models.studies has them
side by side.

    python -m models.policy_gradient
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from models.common.cli import BadArgumentError, RunFailedError, positive_float, positive_int
from models.common.figures import new_figure
from models.common.local_gradients import TwoLayers, local_gradients
from models.common.playing import (
    ENVIRONMENTS,
    Features,
    Player,
    Segment,
    make,
    returns_to_go,
    whole_episodes,
)
from models.common.program import build_parser, finish, start
from relaxppl.estimators import network
from relaxppl.estimators.score import decay

ALGORITHMS = ("reinforce", "reinforce-average", "a2c", "relax")
HIDDEN, CRITIC_RATE, CONTROL_RATE, DISCOUNT = 64, 1e-2, 1e-3, 0.99
DECAY = 0.9
"""Of the average return that reinforce-average subtracts, and of what e of RELAX comes from."""
EVALUATION_SEED = 2**31
"""Added to a run's seed: the evaluation plays none of the training's episodes."""


class Agent:
    """A policy, a critic and, for RELAX, a control variate, with their optimisers.

    :param algorithm: one of ALGORITHMS.
    :param seed: of the weights and of every draw.
    :param learning_rate: of the policy.
    :param features: how many numbers the networks see.
    :param actions: how many actions there are.
    """

    def __init__(
        self, algorithm: str, seed: int, learning_rate: float, features: int, actions: int
    ) -> None:
        self.algorithm = algorithm
        # One stream for the weights and one for the draws, so that all algorithms begin alike.
        rng = np.random.default_rng(seed)
        self.generator = torch.Generator().manual_seed(seed)
        self.policy = TwoLayers(rng, features, HIDDEN, actions)
        self.critic = TwoLayers(rng, features, HIDDEN, 1)
        self.average = torch.tensor(0.0)
        self.products = torch.zeros(2)
        self.control = {
            name: torch.tensor(value, dtype=torch.float32)
            for name, value in network.initial(features + actions, HIDDEN, seed).items()
        }
        groups: list[dict[str, Any]] = [
            {"params": list(self.policy.parameters()), "lr": learning_rate},
            {"params": list(self.critic.parameters()), "lr": CRITIC_RATE},
            {"params": list(self.control.values()), "lr": CONTROL_RATE},
        ]
        self.optimiser = torch.optim.Adam(groups)
        self.rates = [group["lr"] for group in groups]

    def _gumbel(self, shape: Any) -> Any:
        return -torch.empty(shape).exponential_(generator=self.generator).log()

    @torch.no_grad()
    def act(self, features: Features) -> NDArray[np.int64]:
        """Draw an action for each row of features."""
        logits = self.policy(torch.from_numpy(features))
        return (logits + self._gumbel(logits.shape)).argmax(-1).numpy()

    @torch.no_grad()
    def act_greedily(self, features: Features) -> NDArray[np.int64]:
        """The likeliest action for each row of features."""
        return self.policy(torch.from_numpy(features)).argmax(-1).numpy()

    @property
    def eta(self) -> float:
        """The factor e of r, from 0 to 1: by least squares over the updates before."""
        product, square = self.products.tolist()
        return min(max(product / square, 0.0), 1.0) if square > 0 else 0.0

    def relaxed_control(self, states: Any) -> Callable[[dict[str, Any], Any], Any]:
        """r as a function of its parameters and of the relaxed actions in these states."""

        return lambda parameters, x: network.on_site(parameters, 1, states)(x)

    def update(self, segment: Segment, left: float = 1.0) -> dict[str, float]:
        """Take one step of every network.

        :param segment: played by the present policy.
        :param left: the factor of the learning rates.
        :returns: "squares", the mean of |h|^2, and "squares_without", the same with V alone as the
            control variate: both have the same mean h, so their difference is one of variances.
        """
        states = torch.from_numpy(segment.features).flatten(0, 1)
        with torch.no_grad():
            ahead = self.critic(torch.from_numpy(segment.next_features))[..., 0].numpy()
        # Rewards times 1 - discount: returns are then of the size of one reward.
        scaled = Segment(**{**vars(segment), "rewards": (1.0 - DISCOUNT) * segment.rewards})
        returns = torch.from_numpy(returns_to_go(scaled, ahead, DISCOUNT)).float().flatten()
        logits = self.policy(states)
        values = self.critic(states)[..., 0]
        actions = torch.zeros_like(logits).scatter_(
            -1, torch.from_numpy(segment.actions).view(-1, 1), 1.0
        )

        without = local_gradients(logits, actions, returns, values.detach()).gradient
        if self.algorithm == "reinforce":
            h = local_gradients(logits, actions, returns, 0.0).gradient
        elif self.algorithm == "reinforce-average":
            h = local_gradients(logits, actions, returns, self.average).gradient
            self.average = decay(self.average, returns.mean(), DECAY)
        elif self.algorithm == "a2c":
            h = without
        else:
            h, added, slopes = local_gradients(
                logits,
                actions,
                returns,
                values.detach(),
                self._gumbel(logits.shape),
                self.relaxed_control(states),
                self.control,
                self.eta,
            )
            for name, parameter in self.control.items():
                parameter.grad = slopes[name]
            now = torch.stack([-(without * added).sum(), added.square().sum()])
            self.products = decay(self.products, now / len(h), DECAY)

        loss = -(h * logits).sum(-1).mean() + 0.5 * (values - returns).square().mean()
        for parameter in (*self.policy.parameters(), *self.critic.parameters()):
            parameter.grad = None
        loss.backward()
        for group, rate in zip(self.optimiser.param_groups, self.rates, strict=True):
            group["lr"] = left * rate
        self.optimiser.step()
        squares = h.square().sum(-1).mean().item()
        if not math.isfinite(squares + loss.item()):
            return {"squares": math.nan, "squares_without": math.nan}
        return {"squares": squares, "squares_without": without.square().sum(-1).mean().item()}


def train(options: Any, algorithm: str) -> dict[str, Any]:
    """Play and learn until the budget of environment steps is spent, then evaluate.

    :param options: the program's.
    :param algorithm: one of ALGORITHMS.
    :returns: "episodes", of each (steps played at its end, undiscounted return), (n, 2);
        "evaluation" and "greedy_evaluation", returns of whole episodes with actions drawn and with
        the likeliest; "squares" and "squares_without", as `Agent.update` has them, (updates,);
        "steps", "update_ms" and "seconds".
    :raises RunFailedError: a gradient was not finite.
    """
    s, environment = options, ENVIRONMENTS[options.env]
    agent = Agent(algorithm, s.seed, s.learning_rate, environment.features, environment.actions)
    envs = make(s.env, s.envs)
    player = Player(envs, environment.encode, s.seed)
    squares, seconds, begun = [], [], time.perf_counter()
    about = f"{s.env} {algorithm}, seed {s.seed}"
    with tqdm(total=s.steps, desc=about, unit="step", disable=s.quiet) as bar:
        while player.steps < s.steps:
            before = player.steps
            segment = player.segment(agent.act, min(s.length, -(-(s.steps - before) // s.envs)))
            start = time.perf_counter()
            found = agent.update(segment, 1.0 - before / s.steps)
            seconds.append(time.perf_counter() - start)
            squares.append((found["squares"], found["squares_without"]))
            if not np.isfinite(squares[-1]).all():
                raise RunFailedError(
                    f"the gradient is not finite after {player.steps} environment steps; "
                    "lower --learning-rate"
                )
            if player.episodes:
                recent = np.mean([total for _, total in player.episodes[-20:]])
                bar.set_postfix_str(f"return {recent:.1f}", refresh=False)
            bar.update(player.steps - before)
    trained = time.perf_counter() - begun
    envs.close()
    judges = make(s.env, s.evaluation_episodes)
    drawn, greedy = (
        whole_episodes(judges, environment.encode, act, (s.seed + EVALUATION_SEED) % 2**32)
        for act in (agent.act, agent.act_greedily)
    )
    judges.close()
    of_h, without = np.array(squares).T
    return {
        "steps": player.steps,
        "episodes": np.array(player.episodes, np.float64).reshape(-1, 2),
        "evaluation": drawn,
        "greedy_evaluation": greedy,
        "squares": of_h,
        "squares_without": without,
        "update_ms": 1e3 * float(np.median(seconds)),
        "seconds": trained,
    }


def add_options(parser: Any) -> None:
    """The options of the program, and of the study of its algorithms."""
    add = parser.add_argument
    add("--env", choices=ENVIRONMENTS, default="CartPole-v1", help="the environment, of gymnasium")
    add("--steps", type=positive_int, default=150_000, help="of the environment, copies together")
    add("--learning-rate", type=positive_float, default=5e-3, help="of Adam for the policy")
    add("--envs", type=positive_int, default=4, help="copies of the environment side by side")
    add("--length", type=positive_int, default=128, help="steps of each copy between two updates")
    add("--evaluation-episodes", type=positive_int, default=100, help="played after training")


def check(options: Any) -> None:
    """Refuse a budget without an update, and a rate beyond what a float holds.

    :raises BadArgumentError: `--steps` or `--learning-rate` is out of range.
    """
    least = options.envs * options.length
    if options.steps < least:
        raise BadArgumentError(
            "--steps",
            f"{options.steps} is not allowed: one update takes {least} (--envs times --length); "
            "give as many or more",
        )
    if options.learning_rate > 1e6:
        raise BadArgumentError(
            "--learning-rate", f"{options.learning_rate:g} is not allowed; give at most 1e6"
        )


def run(options: Any, command: str) -> None:
    """Train, evaluate, and draw the returns of the training's episodes."""
    check(options)
    found = train(options, options.algorithm)

    def draw(path: Path) -> None:
        figure = new_figure(7.0, 3.8)
        axis = figure.subplots()
        axis.plot(*found["episodes"].T, ".", ms=3)
        axis.set_xlabel("environment steps")
        axis.set_ylabel("return of an episode")
        axis.set_title(f"{options.env}, {options.algorithm}")
        figure.savefig(path, dpi=130)

    means = {name: found[name].mean() for name in ("evaluation", "greedy_evaluation")}
    finish(
        options,
        command,
        means | {"steps": found["steps"], "seconds": found["seconds"]},
        {"returns.png": draw},
        [f"{name.replace('_', ' '):<20}{value:9.1f}" for name, value in means.items()],
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program; returns 0, 2 for an argument that cannot be used, 1 for a failed run."""
    parser = build_parser("policy_gradient", __doc__.splitlines()[0], backend="pyro")
    parser.add_argument("--algorithm", choices=ALGORITHMS, default="relax", help="the gradient")
    add_options(parser)
    needs = ("gymnasium", "scipy")
    return start(parser, argv, lambda options, _, command: run(options, command), needs)


if __name__ == "__main__":
    sys.exit(main())
