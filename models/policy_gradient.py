"""RELAX as a policy gradient: learns to act, beside REINFORCE and A2C, on torch alone.

The reward is a black box and the actions are drawn: the case for which RELAX was made. All
algorithms train the same networks on the same number of environment steps.

    python -m models.policy_gradient
"""

from __future__ import annotations

import math
import sys
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from models.common.local_gradients import TwoLayers, local_gradients
from models.common.playing import ENVIRONMENTS, Segment, add_options, dots, returns_to_go, train
from models.common.program import Program, finish
from relaxppl.estimators import network
from relaxppl.estimators.score import decay

ALGORITHMS = ("reinforce", "reinforce-average", "a2c", "relax")
HIDDEN, CRITIC_RATE, CONTROL_RATE, DISCOUNT = 64, 1e-2, 1e-3, 0.99
DECAY = 0.9
"""Of the average return that reinforce-average subtracts, and of what e of RELAX comes from."""


class Agent:
    """A policy, a critic and, for RELAX, a control variate, with their optimisers.

    :param algorithm: one of ALGORITHMS.
    :param options: the seed of the weights and of every draw, and the policy's learning rate.
    :param features: how many numbers the networks see.
    :param actions: how many actions there are.
    """

    def __init__(self, algorithm: str, options: Any, features: int, actions: int) -> None:
        seed = options.seed
        self.algorithm = algorithm
        # One stream for the weights and one for the draws, so that all algorithms begin alike.
        rng = np.random.default_rng(seed)
        self.generator = torch.Generator().manual_seed(seed)
        self.policy = TwoLayers(rng, features, HIDDEN, actions)
        self.critic = TwoLayers(rng, features, HIDDEN, 1)
        self.average, self.products = torch.tensor(0.0), torch.zeros(2)
        self.control = {
            name: torch.tensor(value, dtype=torch.float32)
            for name, value in network.initial(features + actions, HIDDEN, seed).items()
        }
        self.rates = options.learning_rate, CRITIC_RATE, CONTROL_RATE
        learned = self.policy.parameters(), self.critic.parameters(), self.control.values()
        self.optimiser = torch.optim.Adam([{"params": list(each)} for each in learned])

    def _gumbel(self, shape: Any) -> Any:
        return -torch.empty(shape).exponential_(generator=self.generator).log()

    @torch.no_grad()
    def act(self, features: NDArray[Any]) -> NDArray[np.int64]:
        """Draw an action for each row of features."""
        logits = self.policy(torch.from_numpy(features))
        return (logits + self._gumbel(logits.shape)).argmax(-1).numpy()

    @torch.no_grad()
    def act_greedily(self, features: NDArray[Any]) -> NDArray[np.int64]:
        """The likeliest action for each row of features."""
        return self.policy(torch.from_numpy(features)).argmax(-1).numpy()

    @property
    def eta(self) -> float:
        """The factor e of r, from 0 to 1: by least squares over the updates before."""
        product, square = self.products.tolist()
        return min(max(product / square, 0.0), 1.0) if square > 0 else 0.0

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
        logits, values = self.policy(states), self.critic(states)[..., 0]
        drawn = torch.from_numpy(segment.actions).view(-1, 1)
        given = logits, torch.zeros_like(logits).scatter_(-1, drawn, 1.0), returns

        h = without = local_gradients(*given, values.detach()).gradient
        if self.algorithm == "reinforce":
            h = local_gradients(*given, 0.0).gradient
        elif self.algorithm == "reinforce-average":
            h = local_gradients(*given, self.average).gradient
            self.average = decay(self.average, returns.mean(), DECAY)
        elif self.algorithm == "relax":
            r = lambda parameters, x: network.on_site(parameters, 1, states)(x)  # noqa: E731
            more: Any = self._gumbel(logits.shape), r, self.control, self.eta
            h, added, slopes = local_gradients(*given, values.detach(), *more)
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


def learn(options: Any, algorithm: str) -> dict[str, Any]:
    """Play and learn until the budget of environment steps is spent; what `train` returns."""
    environment = ENVIRONMENTS[options.env]
    return train(options, Agent(algorithm, options, environment.features, environment.actions))


def run(options: Any, command: str) -> None:
    """Learn, evaluate, and draw the returns of the training's episodes."""
    found = learn(options, options.algorithm)
    metrics = {name: found[name].mean() for name in ("evaluation", "greedy_evaluation")}
    lines = [f"{name.replace('_', ' '):<20}{value:9.1f}" for name, value in metrics.items()]
    metrics |= {name: found[name] for name in ("steps", "seconds")}
    finish(options, command, metrics, {"returns.png": lambda path: dots(path, found)}, lines)


main = Program("policy_gradient", __doc__, run, needs=("gymnasium",))
main.add("--algorithm", choices=ALGORITHMS, default="relax", help="the gradient")
add_options(main.parser)

if __name__ == "__main__":
    sys.exit(main())
