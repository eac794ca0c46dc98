"""Trains one agent and evaluates it."""

import sys
import time

import numpy as np
from tqdm import tqdm

from models.common.cli import RunFailedError
from models.policy_gradient.agent import Agent
from models.policy_gradient.environments import ENVIRONMENTS, make
from models.policy_gradient.result import Result, Settings
from models.policy_gradient.rollout import Player, whole_episodes

EVALUATION_SEED = 2**31
"""Added to a run's seed: the evaluation plays none of the training's episodes."""


def train(settings: Settings) -> Result:
    """Play and learn until the budget of environment steps is spent, then evaluate.

    :param settings: what to train.
    :returns: what came of it.
    :raises RunFailedError: a gradient was not finite.
    """
    s = settings
    environment = ENVIRONMENTS[s.env]
    agent = Agent(s, environment.features, environment.actions)
    envs = make(s.env, s.envs)
    player = Player(envs, environment.encode, s.seed)
    squares, seconds = [], []
    start = time.perf_counter()
    # A log file gets a line now and then, a terminal a smooth bar.
    pace = 0.1 if sys.stderr.isatty() else 5.0
    with tqdm(
        total=s.steps,
        desc=f"{s.env} {s.algorithm}, seed {s.seed}",
        unit="step",
        disable=not s.progress,
        mininterval=pace,
    ) as bar:
        while player.steps < s.steps:
            before = player.steps
            segment = player.segment(agent.act, min(s.length, -(-(s.steps - before) // s.envs)))
            began = time.perf_counter()
            found = agent.update(segment, 1.0 - before / s.steps)
            seconds.append(time.perf_counter() - began)
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
    train_seconds = time.perf_counter() - start
    envs.close()

    judges = make(s.env, s.evaluation_episodes)
    drawn, greedy = (
        whole_episodes(judges, environment.encode, act, (s.seed + EVALUATION_SEED) % 2**32)
        for act in (agent.act, agent.act_greedily)
    )
    judges.close()
    of_h, without = np.array(squares).T
    return Result(
        algorithm=s.algorithm,
        seed=s.seed,
        steps=player.steps,
        episodes=np.array(player.episodes, np.float64).reshape(-1, 2),
        evaluation=drawn,
        greedy_evaluation=greedy,
        squares=of_h,
        squares_without=without,
        update_seconds=float(np.median(seconds)),
        train_seconds=train_seconds,
        settings=s,
    )
