"""Playing gymnasium's environments: what a policy sees, segments of episodes, returns to learn."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from numpy.typing import NDArray

Features = NDArray[np.float32]
Act = Callable[[Features], NDArray[np.int64]]
"""From features (n, features) to actions (n,)."""


@dataclass(frozen=True)
class Environment:
    """What the program knows of an environment of gymnasium.

    :param features: how many numbers a policy sees.
    :param actions: how many actions there are.
    :param encode: from observations (n, ...) to float32 (n, features).
    :param solved: the mean return from which it counts as solved; None where there is no such
        number.
    """

    features: int
    actions: int
    encode: Callable[[NDArray[Any]], Features]
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
        solved=475.0,
    ),
    "Acrobot-v1": Environment(
        features=6,
        actions=3,
        encode=scaled(1.0, 1.0, 1.0, 1.0, 4.0, 9.0),
        solved=-100.0,
    ),
    "Taxi-v3": Environment(
        features=19,
        actions=6,
        encode=taxi_features,
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


@dataclass(frozen=True)
class Segment:
    """What T steps of N environments gave; the first axis is time.

    :param features: seen before each action, (T, N, features).
    :param actions: (T, N).
    :param rewards: (T, N).
    :param next_features: of the state that the action led to, (T, N, features); at the end of an
        episode its last state and not the first one of the next.
    :param terminated: whether that state is terminal, worth nothing from there on, (T, N).
    :param truncated: whether the episode was cut there for want of time, (T, N).
    """

    features: Features
    actions: NDArray[np.int64]
    rewards: NDArray[np.float32]
    next_features: Features
    terminated: NDArray[np.bool_]
    truncated: NDArray[np.bool_]


@dataclass
class Player:
    """Plays on and on, from segment to segment, and keeps the returns of whole episodes.

    :param envs: in the autoreset mode SAME_STEP.
    :param encode: from observations to features.
    :param seed: of the environments.
    :param steps: how many environment steps were played.
    :param episodes: (steps played at its end, its undiscounted return) of each episode that ended.
    """

    envs: SyncVectorEnv
    encode: Callable[[NDArray[Any]], Features]
    seed: int
    steps: int = 0
    episodes: list[tuple[int, float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.now = self.encode(self.envs.reset(seed=self.seed)[0])
        self.running = np.zeros(self.envs.num_envs)

    def segment(self, act: Act, length: int) -> Segment:
        """Play `length` steps of every environment."""
        rows: list[tuple[Any, ...]] = []
        for _ in range(length):
            before = self.now
            actions = act(before)
            played: tuple[Any, ...] = self.envs.step(actions)
            observations, rewards, terminated, truncated, info = played
            self.now = after = self.encode(observations)
            self.steps += len(actions)
            self.running += rewards
            ended = terminated | truncated
            if ended.any():
                after = after.copy()
                after[ended] = self.encode(np.stack(list(info["final_obs"][ended])))
                self.episodes += [(self.steps, float(total)) for total in self.running[ended]]
                self.running[ended] = 0.0
            rows.append((before, actions, rewards, after, terminated, truncated))
        columns = [np.stack(column) for column in zip(*rows, strict=True)]
        columns[2] = columns[2].astype(np.float32)
        return Segment(*columns)


def returns_to_go(
    segment: Segment, next_values: NDArray[np.floating], discount: float
) -> NDArray[np.floating]:
    """The discounted rewards from each step on, continued by a value where the episode is cut.

    After a terminal state nothing comes. A truncated episode, and one that goes on after the
    segment, would have had more rewards: the value of the state where it was cut stands for them.

    :param segment: T steps of N environments.
    :param next_values: of the states that the actions led to, (T, N).
    :param discount: between 0 and 1.
    :returns: Shape (T, N).
    """
    out = np.empty_like(next_values)
    later = next_values[-1]
    for t in reversed(range(len(out))):
        later = np.where(segment.truncated[t], next_values[t], later)
        later = np.where(segment.terminated[t], 0.0, later)
        later = out[t] = segment.rewards[t] + discount * later
    return out


def whole_episodes(
    envs: SyncVectorEnv, encode: Callable[[NDArray[Any]], Features], act: Act, seed: int
) -> NDArray[np.float64]:
    """The return of one episode of each environment.

    The first episode of each counts, whenever it ends: the first so many to end would be the short
    ones.

    :returns: Undiscounted returns, (n,).
    """
    player = Player(envs, encode, seed)
    returns = np.zeros(envs.num_envs)
    playing = np.ones(envs.num_envs, bool)
    while playing.any():
        step = player.segment(act, 1)
        returns += step.rewards[0] * playing
        playing &= ~(step.terminated[0] | step.truncated[0])
    return returns
