"""What a run is asked for and what it returns: plain numbers."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

ALGORITHMS = ("reinforce", "reinforce-average", "a2c", "relax")


@dataclass(frozen=True)
class Settings:
    """One training: an algorithm, an environment, a seed.

    :param env: a key of environments.ENVIRONMENTS.
    :param algorithm: one of ALGORITHMS.
    :param seed: of the environments, the weights and every draw.
    :param steps: the budget of environment steps.
    :param learning_rate: of the policy, for Adam.
    :param discount: of the rewards to come.
    :param envs: environments that step together.
    :param length: steps of each in a segment, between two updates.
    :param hidden: units of each network's hidden layer.
    :param critic_rate: of the critic, for Adam.
    :param control_rate: of RELAX's control variate, for Adam.
    :param decay: of the average return that reinforce-average subtracts, and of the averages that
        RELAX's factor e comes from.
    :param evaluation_episodes: played at the end, with actions drawn and with the likeliest ones.
    :param progress: whether to draw a progress bar.
    """

    env: str
    algorithm: str
    seed: int
    steps: int
    learning_rate: float
    discount: float
    envs: int = 4
    length: int = 128
    hidden: int = 64
    critic_rate: float = 1e-2
    control_rate: float = 1e-3
    decay: float = 0.9
    evaluation_episodes: int = 100
    progress: bool = True


@dataclass(frozen=True)
class Result:
    """What came of one training.

    :param algorithm: which one.
    :param seed: its seed.
    :param steps: environment steps played.
    :param episodes: of each training episode, (steps played at its end, undiscounted return), (n,
        2).
    :param evaluation: returns of the evaluation episodes with actions drawn from the policy, (m,).
    :param greedy_evaluation: the same with the likeliest actions.
    :param squares: mean |h|^2 of each update, (updates,).
    :param squares_without: the same with the critic alone as the control variate.
    :param update_seconds: median time of an update, playing left out.
    :param train_seconds: time of playing and learning.
    """

    algorithm: str
    seed: int
    steps: int
    episodes: NDArray[np.float64]
    evaluation: NDArray[np.float64]
    greedy_evaluation: NDArray[np.float64]
    squares: NDArray[np.float64]
    squares_without: NDArray[np.float64]
    update_seconds: float
    train_seconds: float
    settings: Settings = field(repr=False)
