"""The environments, what a policy sees of them, and the settings that go with each."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from numpy.typing import NDArray

from models.policy_gradient.result import ALGORITHMS

Features = NDArray[np.float32]


@dataclass(frozen=True)
class Environment:
    """What the program knows of an environment of gymnasium.

    :param features: how many numbers a policy sees.
    :param actions: how many actions there are.
    :param encode: from observations (n, ...) to float32 (n, features).
    :param steps: the budget of environment steps when none is given.
    :param discount: of the rewards to come.
    :param learning_rates: of Adam for the policy, by algorithm.
    :param solved: the mean return from which it counts as solved; None where there is no such
        number.
    """

    features: int
    actions: int
    encode: Callable[[NDArray[Any]], Features]
    steps: int
    discount: float
    learning_rates: dict[str, float]
    solved: float | None


def scaled(*scales: float) -> Callable[[NDArray[Any]], Features]:
    """Observations divided by constants of about their size."""
    divisors = np.array(scales, np.float32)
    return lambda observations: np.asarray(observations, np.float32) / divisors


def taxi_features(states: NDArray[Any]) -> Features:
    """A taxi's state, (n,), as one-hot row, column, passenger's place and destination, (n, 19)."""
    rest, destination = np.divmod(np.asarray(states, np.int64), 4)
    rest, passenger = np.divmod(rest, 5)
    row, column = np.divmod(rest, 5)
    parts = ((row, 5), (column, 5), (passenger, 5), (destination, 4))
    return np.concatenate([np.eye(size, dtype=np.float32)[at] for at, size in parts], axis=-1)


ENVIRONMENTS = {
    "CartPole-v1": Environment(
        features=4,
        actions=2,
        encode=scaled(2.4, 2.0, 0.2, 2.0),
        steps=150_000,
        discount=0.99,
        learning_rates=dict.fromkeys(ALGORITHMS, 5e-3),
        solved=475.0,
    ),
    "Acrobot-v1": Environment(
        features=6,
        actions=3,
        encode=scaled(1.0, 1.0, 1.0, 1.0, 4.0, 9.0),
        steps=150_000,
        discount=0.99,
        learning_rates=dict.fromkeys(ALGORITHMS, 5e-3),
        solved=-100.0,
    ),
    "Taxi-v3": Environment(
        features=19,
        actions=6,
        encode=taxi_features,
        steps=150_000,
        discount=0.99,
        learning_rates=dict.fromkeys(ALGORITHMS, 5e-3),
        solved=None,
    ),
}


def make(name: str, count: int) -> SyncVectorEnv:
    """Several copies of an environment that step together.

    An episode that ends is followed by the next one's first observation within the same step; its
    own last observation is in `info["final_obs"]`. So every step is one of an episode: in
    gymnasium's default mode the step after an end resets, ignores its action, and must not be
    learned from.

    :param name: gymnasium's.
    :param count: how many copies.
    :returns: the copies, in the autoreset mode SAME_STEP.
    """

    def one() -> gymnasium.Env[Any, Any]:
        with warnings.catch_warnings():
            # Taxi-v3 has a successor, whose returns would compare with nothing published.
            warnings.simplefilter("ignore", DeprecationWarning)
            return gymnasium.make(name, disable_env_checker=True)

    return SyncVectorEnv([one] * count, autoreset_mode=AutoresetMode.SAME_STEP)
