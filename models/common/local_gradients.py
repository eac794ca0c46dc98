"""One policy gradient, and ways to lower its variance.

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

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from models.common.networks import two_layer_weights
from relaxppl import ops
from relaxppl.estimators import relax
from relaxppl.estimators.laws import Draw, OneHotCategorical


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
