"""Playing: segments of several episodes side by side, and the returns to learn from."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from gymnasium.vector import SyncVectorEnv
from numpy.typing import NDArray

from models.policy_gradient.environments import Features

Act = Callable[[Features], NDArray[np.int64]]
"""From features (n, features) to actions (n,)."""


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
