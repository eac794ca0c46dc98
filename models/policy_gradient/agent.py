"""The learners: one gradient, and ways to lower its variance.

All follow the same surrogate, sum over steps of stop_gradient(h) . logits, with a local gradient h
of the return in the logits of that step. With R the return to go, V a learned value of the state
and r a network of the state and the relaxed action,

    reinforce          h = R score(action)
    reinforce-average  h = (R - average of past returns) score(action)
    a2c                h = (R - V) score(action)
    relax              h = (R - c(z~)) score(action) + d c(z) - d c(z~),  c = V + e r,

all with the same mean. V learns by regression on R; r by the gradient of |h|^2 at e = 1; and e, in
which h is linear, is what would have made |h|^2 least in the updates before: 0 as long as r does
more harm than good. R itself is the same too: the critic stands for the rewards that a cut has
hidden, whatever the algorithm.

Grathwohl et al., 2018 (arXiv:1711.00123), section 3.3; Mnih et al., 2016 (arXiv:1602.01783).
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from models.common.networks import two_layer_weights
from models.policy_gradient.environments import Features
from models.policy_gradient.result import Settings
from models.policy_gradient.rollout import Segment, returns_to_go
from relaxppl import ops
from relaxppl.estimators import network, relax
from relaxppl.estimators.laws import Draw, OneHotCategorical
from relaxppl.estimators.score import decay


class TwoLayers(nn.Module):
    """A network with one hidden layer of tanh units; its output is near zero at first."""

    def __init__(self, rng: np.random.Generator, inputs: int, hidden: int, outputs: int) -> None:
        super().__init__()
        weights = two_layer_weights(rng, inputs, hidden, outputs)
        weights["w2"] = np.float32(0.01) * weights["w2"]
        for name, value in weights.items():
            self.register_parameter(name, nn.Parameter(torch.tensor(value)))

    def forward(self, x: Any) -> Any:
        """Map (..., inputs) to (..., outputs)."""
        return torch.tanh(x @ self.w1 + self.b1) @ self.w2 + self.b2


class Local(NamedTuple):
    """What `local_gradients` returns, for n steps."""

    gradient: Any
    """h, (n, actions)."""
    added: Any
    """The control variate at eta = 1, of mean zero, (n, actions)."""
    slopes: dict[str, Any]
    """The gradient in its parameters of the mean of |h|^2 at eta = 1. The mean of h does not depend
    on them, so that it is the gradient of the variance too."""


def local_gradients(
    logits: Any,
    actions: Any,
    returns: Any,
    baseline: Any,
    noise: Any = None,
    control: Callable[[dict[str, Any], Any], Any] | None = None,
    parameters: dict[str, Any] | None = None,
    eta: float = 1.0,
) -> Local:
    """Unbiased estimates of the gradients of the returns in the logits, one for each step.

    :param logits: of the policy, (n, actions).
    :param actions: one-hot, (n, actions).
    :param returns: to go, (n,).
    :param baseline: what does not depend on the actions, () or (n,).
    :param noise: standard Gumbel, independent of all the rest, (n, actions); with `control`.
    :param control: from its parameters and relaxed actions (n, actions) to what is to be near the
        returns less the baseline, (n, 1); None for no control variate.
    :param parameters: of the control variate, by name.
    :param eta: its factor, which must not depend on these actions.
    :returns: h, what the control variate adds to it at eta = 1, and the slopes.
    """
    law = OneHotCategorical(logits.detach())
    h = (returns - baseline).unsqueeze(-1) * law.score(actions)
    if control is None:
        return Local(h, 0.0 * h, {})
    draw = Draw(law, actions, noise)

    def variate(parameters: Any) -> Any:
        return relax.network_control(draw, lambda x: control(parameters, x))

    # Reverse mode over the reverse mode inside the control variate.
    added, pull = ops.vjp(variate, parameters)
    return Local(h + eta * added, added, pull(2.0 * (h + added) / len(h)))


class Agent:
    """A policy, a critic and, for RELAX, a control variate, with their optimisers.

    :param settings: of the run.
    :param features: how many numbers the networks see.
    :param actions: how many actions there are.
    """

    def __init__(self, settings: Settings, features: int, actions: int) -> None:
        self.settings = s = settings
        # One stream for the weights and one for the draws, so that all algorithms begin alike.
        rng = np.random.default_rng(s.seed)
        self.generator = torch.Generator().manual_seed(s.seed)
        self.policy = TwoLayers(rng, features, s.hidden, actions)
        self.critic = TwoLayers(rng, features, s.hidden, 1)
        self.average = torch.tensor(0.0)
        self.products = torch.zeros(2)
        self.control = {
            name: torch.tensor(value, dtype=torch.float32)
            for name, value in network.initial(features + actions, s.hidden, s.seed).items()
        }
        groups: list[dict[str, Any]] = [
            {"params": list(self.policy.parameters()), "lr": s.learning_rate},
            {"params": list(self.critic.parameters()), "lr": s.critic_rate},
            {"params": list(self.control.values()), "lr": s.control_rate},
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
        s = self.settings
        states = torch.from_numpy(segment.features).flatten(0, 1)
        with torch.no_grad():
            ahead = self.critic(torch.from_numpy(segment.next_features))[..., 0].numpy()
        # Rewards times 1 - discount: returns are then of the size of one reward.
        scaled = Segment(**{**vars(segment), "rewards": (1.0 - s.discount) * segment.rewards})
        returns = torch.from_numpy(returns_to_go(scaled, ahead, s.discount)).float().flatten()
        logits = self.policy(states)
        values = self.critic(states)[..., 0]
        actions = torch.zeros_like(logits).scatter_(
            -1, torch.from_numpy(segment.actions).view(-1, 1), 1.0
        )

        without = local_gradients(logits, actions, returns, values.detach()).gradient
        if s.algorithm == "reinforce":
            h = local_gradients(logits, actions, returns, 0.0).gradient
        elif s.algorithm == "reinforce-average":
            h = local_gradients(logits, actions, returns, self.average).gradient
            self.average = decay(self.average, returns.mean(), s.decay)
        elif s.algorithm == "a2c":
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
            self.products = decay(self.products, now / len(h), s.decay)

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
