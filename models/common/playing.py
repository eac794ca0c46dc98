"""Playing gymnasium's environments: what a policy sees, segments of episodes, returns to learn."""

import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from numpy.typing import NDArray
from tqdm import tqdm

from models.common.cli import BadArgumentError, RunFailedError, positive_float, positive_int
from models.common.figures import new_figure

Features = NDArray[np.float32]
Act = Callable[[Features], NDArray[np.int64]]
"""From features (n, features) to actions (n,)."""
EVALUATION_SEED = 2**31
"""Added to a run's seed: the evaluation plays none of the training's episodes."""


class Environment(NamedTuple):
    """What the program knows of an environment of gymnasium."""

    features: int
    """How many numbers a policy sees."""
    actions: int
    encode: Callable[[NDArray[Any]], Features]
    """From observations (n, ...) to (n, features)."""
    solved: float | None
    """The mean return from which it counts as solved; None where there is no such number."""


def scaled(*scales: float) -> Callable[[NDArray[Any]], Features]:
    """Observations divided by constants of about their size."""
    divisors = np.array(scales, np.float32)
    return lambda observations: np.asarray(observations, np.float32) / divisors


def taxi_features(states: NDArray[Any]) -> Features:
    """A taxi's state, (n,), as one-hot row, column, passenger's place and destination, (n, 19)."""
    parts = np.unravel_index(np.asarray(states, np.int64), (5, 5, 5, 4))
    sizes = (5, 5, 5, 4)
    each = [np.eye(n, dtype=np.float32)[at] for at, n in zip(parts, sizes, strict=True)]
    return np.concatenate(each, axis=-1)


ENVIRONMENTS = {
    "CartPole-v1": Environment(4, 2, scaled(2.4, 2.0, 0.2, 2.0), 475.0),
    "Acrobot-v1": Environment(6, 3, scaled(1.0, 1.0, 1.0, 1.0, 4.0, 9.0), -100.0),
    "Taxi-v3": Environment(19, 6, taxi_features, None),
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


def train(options: Any, agent: Any) -> dict[str, Any]:
    """Play and learn until the budget of environment steps is spent, then evaluate.

    :param options: as `add_options` has them.
    :param agent: with the methods act, act_greedily and update.
    :returns: "episodes", of each (steps played at its end, undiscounted return), (n, 2);
        "evaluation" and "greedy_evaluation", returns of whole episodes with actions drawn and with
        the likeliest; of each update what it returned, (updates,); "steps", "update_ms" and
        "seconds".
    :raises BadArgumentError: `--steps` or `--learning-rate` is out of range.
    :raises RunFailedError: a gradient was not finite.
    """
    check(options)
    s, encode = options, ENVIRONMENTS[options.env].encode
    envs = make(s.env, s.envs)
    player = Player(envs, encode, s.seed)
    found, seconds, begun = [], [], time.perf_counter()
    about = f"{s.env} {agent.algorithm}, seed {s.seed}"
    with tqdm(total=s.steps, desc=about, unit="step", disable=s.quiet) as bar:
        while player.steps < s.steps:
            before = player.steps
            segment = player.segment(agent.act, min(s.length, -(-(s.steps - before) // s.envs)))
            start = time.perf_counter()
            found.append(agent.update(segment, 1.0 - before / s.steps))
            seconds.append(time.perf_counter() - start)
            if not np.isfinite(list(found[-1].values())).all():
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
    judges, seed = make(s.env, s.evaluation_episodes), (s.seed + EVALUATION_SEED) % 2**32
    ways = {"evaluation": agent.act, "greedy_evaluation": agent.act_greedily}
    returns = {name: whole_episodes(judges, encode, act, seed) for name, act in ways.items()}
    judges.close()
    return returns | {
        "steps": player.steps,
        "episodes": np.array(player.episodes, np.float64).reshape(-1, 2),
        **{name: np.array([each[name] for each in found]) for name in found[0]},
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
    """Refuse a budget without an update, and a rate beyond what a float holds."""
    least, steps, rate = options.envs * options.length, options.steps, options.learning_rate
    if steps < least:
        more = f"one update takes {least} (--envs times --length); give as many or more"
        raise BadArgumentError("--steps", f"{steps} is not allowed: {more}")
    if rate > 1e6:
        raise BadArgumentError("--learning-rate", f"{rate:g} is not allowed; give at most 1e6")


def dots(path: Path, found: dict[str, Any]) -> None:
    """Draw the returns of a training's episodes."""
    figure = new_figure(7.0, 3.8)
    axis = figure.subplots()
    axis.plot(*found["episodes"].T, ".", ms=3)
    axis.set_xlabel("environment steps")
    axis.set_ylabel("return of an episode")
    figure.savefig(path, dpi=130)
