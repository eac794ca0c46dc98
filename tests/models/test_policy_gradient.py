"""The policy gradient: its mean by enumeration, its returns by hand, its runs and its refusals."""

import itertools
import json
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from matplotlib.image import imread

from models import policy_gradient as program
from models.common.local_gradients import local_gradients
from models.common.playing import (
    ENVIRONMENTS,
    Player,
    Segment,
    make,
    returns_to_go,
    whole_episodes,
)
from models.policy_gradient import ALGORITHMS, Agent, learn
from models.studies import policy_gradient as study
from relaxppl.estimators import network
from relaxppl.relaxations import relaxed_one_hot
from tests.models.refusing import check_refusal

# A decision process of three states, three actions and three steps, all of whose courses can be
# written down.

STATES, ACTIONS, HORIZON = 3, 3, 3
_rng = np.random.default_rng(11)
REWARDS = _rng.normal(size=(STATES, ACTIONS))
MOVES = _rng.dirichlet(np.ones(STATES), size=(STATES, ACTIONS))
# Exponentials that are far from summing to one, as those of a network's outputs are.
LOGITS = _rng.normal(size=(STATES, ACTIONS)) + np.array([[1.5], [-1.0], [0.7]])
VALUES = _rng.normal(size=STATES)


def expected_return(logits: np.ndarray) -> float:
    """The sum over every course, from state 0, of its probability times its rewards."""
    p = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    total = 0.0
    for actions in itertools.product(range(ACTIONS), repeat=HORIZON):
        for later in itertools.product(range(STATES), repeat=HORIZON - 1):
            states = (0, *later)
            chance = np.prod([p[s, a] for s, a in zip(states, actions, strict=True)])
            chance *= np.prod([MOVES[states[t], actions[t], states[t + 1]] for t in range(2)])
            total += chance * sum(REWARDS[s, a] for s, a in zip(states, actions, strict=True))
    return total


def exact_gradient() -> np.ndarray:
    steps = 1e-5 * np.eye(STATES * ACTIONS).reshape(-1, STATES, ACTIONS)
    flat = [(expected_return(LOGITS + s) - expected_return(LOGITS - s)) / 2e-5 for s in steps]
    return np.array(flat).reshape(STATES, ACTIONS)


def simulate(count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, Segment]:
    """Courses side by side: states and actions (HORIZON, count), and the segment they make."""
    p = np.exp(LOGITS) / np.exp(LOGITS).sum(-1, keepdims=True)
    state = np.zeros(count, int)
    states, actions = [], []
    for _ in range(HORIZON):
        action = (rng.random((count, 1)) > p[state].cumsum(-1)).sum(-1).clip(max=ACTIONS - 1)
        states.append(state)
        actions.append(action)
        chances = MOVES[state, action].cumsum(-1)
        state = (rng.random((count, 1)) > chances).sum(-1).clip(max=STATES - 1)
    s, a = np.array(states), np.array(actions)
    ends = np.zeros((HORIZON, count), bool)
    ends[-1] = True
    seen = np.eye(STATES)[s]
    return s, a, Segment(seen, a, REWARDS[s, a], seen, ends, np.zeros_like(ends))


def control_parameters() -> dict[str, Any]:
    rng = np.random.default_rng(5)
    shapes = network.initial(STATES + ACTIONS, 8)
    return {name: torch.tensor(rng.normal(size=v.shape)) for name, v in shapes.items()}


def estimates(algorithm: str, count: int = 40_000) -> np.ndarray:
    """The program's local gradients summed over each course, (count, STATES, ACTIONS)."""
    rng = np.random.default_rng(2)
    s, a, segment = simulate(count, rng)
    returns = torch.tensor(returns_to_go(segment, np.zeros(s.shape), 1.0).ravel())
    at = s.ravel()
    rows = [torch.tensor(LOGITS[at]), torch.tensor(np.eye(ACTIONS)[a.ravel()]), returns]
    if algorithm == "relax":
        seen = torch.tensor(np.eye(STATES)[at])
        h = local_gradients(
            *rows,
            torch.tensor(VALUES[at]),
            torch.tensor(rng.gumbel(size=(len(at), ACTIONS))),
            lambda parameters, x: network.on_site(parameters, 1, seen)(x),
            control_parameters(),
            0.8,
        ).gradient
    else:
        baseline = {"reinforce": 0.0, "reinforce-average": 0.8}.get(algorithm)
        given = torch.tensor(VALUES[at]) if baseline is None else baseline
        h = local_gradients(*rows, given).gradient
    in_state = np.eye(STATES)[s][..., None]
    return (in_state * h.numpy().reshape(HORIZON, count, 1, ACTIONS)).sum(0)


def worst(algorithm: str) -> float:
    """The largest distance of a mean from the exact gradient, in standard errors."""
    each = estimates(algorithm)
    error = each.std(0) / np.sqrt(len(each))
    exact = exact_gradient()
    assert np.linalg.norm(error) < 0.05 * np.linalg.norm(exact)
    return float(np.abs((each.mean(0) - exact) / error).max())


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_mean_is_the_enumerated_gradient(algorithm: str) -> None:
    assert worst(algorithm) < 4


def test_unnormalised_logits_would_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    law = relaxed_one_hot.Concrete
    original = law.latent_given_hard

    def wrong(self: Any, hard: Any, noise: Any) -> Any:
        other = law(temperature=self.temperature, logits=self.logits)
        other.__dict__["log_probs"] = self.logits
        return original(other, hard, noise)

    monkeypatch.setattr(law, "latent_given_hard", wrong)
    assert worst("relax") > 8


def test_slopes_are_those_of_the_squares() -> None:
    rng = np.random.default_rng(4)
    rows = [rng.normal(size=(20, 3)), np.eye(3)[rng.integers(3, size=20)], rng.normal(size=20)]
    seen, noise = torch.tensor(rng.normal(size=(20, 3))), torch.tensor(rng.gumbel(size=(20, 3)))
    parameters = control_parameters()

    def of(p: dict[str, Any]) -> Any:
        args = [torch.tensor(row) for row in rows]
        return local_gradients(*args, 0.3, noise, lambda q, x: network.on_site(q, 1, seen)(x), p)

    slopes = of(parameters).slopes
    for name, value in parameters.items():
        way = torch.tensor(rng.normal(size=value.shape))
        ends = []
        for sign in (1.0, -1.0):
            moved = of({**parameters, name: value + 1e-5 * sign * way})
            ends.append((moved.gradient**2).sum().item() / 20)
        expected = (ends[0] - ends[1]) / 2e-5
        assert (slopes[name] * way).sum().item() == pytest.approx(expected, rel=1e-5, abs=1e-8)


def agent(algorithm: str) -> Agent:
    return Agent(algorithm, SimpleNamespace(seed=0, learning_rate=5e-3), 4, 2)


def test_relax_begins_as_a2c_and_then_departs() -> None:
    agents = [agent(name) for name in ("a2c", "relax")]
    player = Player(make("CartPole-v1", 2), ENVIRONMENTS["CartPole-v1"].encode, 0)
    for update in range(10):
        segment = player.segment(agents[0].act, 40)
        for one in agents:
            one.update(segment)
        a2c, relax = (one.policy.w2.detach().numpy() for one in agents)
        if update == 0:
            np.testing.assert_array_equal(a2c, relax)
    assert 0 < agents[1].eta <= 1
    assert np.abs(a2c - relax).max() > 1e-5
    np.testing.assert_allclose(a2c, relax, atol=0.05)


def test_a_harmful_control_variate_is_left_out() -> None:
    one = agent("relax")
    one.control["weight_out"] += 100.0
    player = Player(make("CartPole-v1", 2), ENVIRONMENTS["CartPole-v1"].encode, 0)
    # The first update knows nothing of r and leaves it out; the next ones know.
    for _ in range(3):
        found = one.update(player.segment(one.act, 40))
        assert found["squares"] < 1.5 * found["squares_without"]
    assert one.eta < 0.1


# Returns.


class Counter(gymnasium.Env):
    """Counts its steps: observation 10 * episode + step; ends after `lengths[episode]` steps."""

    observation_space = gymnasium.spaces.Box(-1.0, 1e9, (1,), np.float64)
    action_space = gymnasium.spaces.Discrete(2)

    def __init__(self, lengths: tuple[int, ...]) -> None:
        self.lengths, self.episode = lengths, -1

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict]:
        self.episode = 0 if seed is not None else self.episode + 1
        self.at = 0
        return np.array([10.0 * self.episode]), {}

    def step(self, action: int) -> tuple[Any, float, bool, bool, dict]:
        self.at += 1
        over = self.at == self.lengths[self.episode % len(self.lengths)]
        return np.array([10.0 * self.episode + self.at]), 1.0 + self.at, over, False, {}


def counters(*lengths: tuple[int, ...], limit: int) -> SyncVectorEnv:
    made = [
        lambda each=each: gymnasium.wrappers.TimeLimit(Counter(each), limit) for each in lengths
    ]
    return SyncVectorEnv(made, autoreset_mode=AutoresetMode.SAME_STEP)


def plain(observations: np.ndarray) -> np.ndarray:
    return np.asarray(observations, np.float32)


def still(features: np.ndarray) -> np.ndarray:
    return np.zeros(len(features), np.int64)


def test_ends_of_episodes_are_told_apart() -> None:
    # Ends by itself after 2; is cut after 4; ends by itself just when it would be cut.
    player = Player(counters((2,), (9,), (4,), limit=4), plain, seed=0)
    segment = player.segment(still, 6)
    seen = segment.features[..., 0].T
    np.testing.assert_array_equal(seen[0], [0, 1, 10, 11, 20, 21])
    np.testing.assert_array_equal(seen[1], [0, 1, 2, 3, 10, 11])
    after = segment.next_features[..., 0].T
    np.testing.assert_array_equal(after[0], [1, 2, 11, 12, 21, 22])
    np.testing.assert_array_equal(after[1], [1, 2, 3, 4, 11, 12])
    np.testing.assert_array_equal(segment.terminated.T[0], [0, 1, 0, 1, 0, 1])
    np.testing.assert_array_equal(segment.terminated.T[1], np.zeros(6))
    np.testing.assert_array_equal(segment.truncated.T[1], [0, 0, 0, 1, 0, 0])
    np.testing.assert_array_equal(segment.terminated.T[2], [0, 0, 0, 1, 0, 0])
    np.testing.assert_array_equal(segment.truncated.T[2], [0, 0, 0, 1, 0, 0])
    assert player.steps == 18
    assert player.episodes == [(6, 5.0), (12, 5.0), (12, 14.0), (12, 14.0), (18, 5.0)]

    # The value of a state here: 100 + its observation.
    returns = returns_to_go(segment, 100.0 + segment.next_features[..., 0], 0.5)
    rewards = [[2, 3, 2, 3, 2, 3], [2, 3, 4, 5, 2, 3], [2, 3, 4, 5, 2, 3]]
    np.testing.assert_array_equal(segment.rewards.T, rewards)
    ends = {0: [2 + 0.5 * 3, 3.0] * 3}
    cut = 5 + 0.5 * 104
    open_end = 3 + 0.5 * 112
    ends[1] = [2 + 0.5 * (3 + 0.5 * (4 + 0.5 * cut)), 3 + 0.5 * (4 + 0.5 * cut), 4 + 0.5 * cut, cut]
    ends[1] += [2 + 0.5 * open_end, open_end]
    ends[2] = [2 + 0.5 * (3 + 0.5 * (4 + 0.5 * 5)), 3 + 0.5 * (4 + 0.5 * 5), 4 + 0.5 * 5, 5.0]
    ends[2] += [2 + 0.5 * open_end, open_end]
    for row, expected in ends.items():
        np.testing.assert_allclose(returns[:, row], expected)

    # The next segment goes on where this one stopped.
    assert player.segment(still, 1).features[0, 1, 0] == 12


def test_evaluation_takes_the_first_episode_of_each_copy() -> None:
    envs = counters((1, 1), (3, 1), (9, 9), limit=5)
    # 2; 2 + 3 + 4; 2 + 3 + 4 + 5 + 6.
    np.testing.assert_array_equal(whole_episodes(envs, plain, still, 0), [2.0, 9.0, 20.0])


def test_features_of_a_taxi() -> None:
    env = gymnasium.make("Taxi-v3", disable_env_checker=True).unwrapped
    states = np.arange(500)
    rows = ENVIRONMENTS["Taxi-v3"].encode(states)
    assert rows.shape == (500, 19)
    sizes = np.split(rows, [5, 10, 15], axis=1)
    for state in states:
        assert tuple(part[state].argmax() for part in sizes) == tuple(env.decode(state))
    np.testing.assert_array_equal(rows.sum(1), np.full(500, 4.0))


def test_learning_curve_and_interval() -> None:
    episodes = np.array([[10, 1.0], [20, 3.0], [30, 5.0], [95, 7.0], [104, 9.0]])
    found = study.learning_curve(episodes, 100, 5)
    np.testing.assert_array_equal(found, [2.0, 5.0, 5.0, 5.0, 8.0])
    late = study.learning_curve(np.array([[90, 4.0]]), 100, 5)
    np.testing.assert_array_equal(late, np.full(5, 4.0))
    # A textbook value: t with two degrees of freedom, 4.303.
    np.testing.assert_allclose(
        study.ends([1.0, 2.0, 3.0]), [2 - 4.3027 / 3**0.5, 2 + 4.3027 / 3**0.5], rtol=1e-4
    )
    assert study.ends([1.0]) is None


# Runs.


def test_relax_learns_cartpole() -> None:
    asked = ["--quiet", "--steps", "20480", "--evaluation-episodes", "4"]
    result = learn(program.main.parser.parse_args(asked), "relax")
    ended = result["episodes"]
    assert ended[ended[:, 0] > 15_000, 1].mean() > 100
    assert ended[ended[:, 0] < 3_000, 1].mean() < 40
    assert result["steps"] == 20_480


def test_update_of_a_hundred_steps_is_quick() -> None:
    one = agent("relax")
    player = Player(make("CartPole-v1", 1), ENVIRONMENTS["CartPole-v1"].encode, 0)
    segment = player.segment(one.act, 100)
    seconds = []
    for _ in range(5):
        # The processor's clock: another program on the machine is no fault of this one.
        start = time.process_time()
        one.update(segment)
        seconds.append(time.process_time() - start)
    assert min(seconds) < 0.05


SHORT = ["--steps", "2048", "--evaluation-episodes", "5", "--quiet"]


@pytest.mark.parametrize("env", ["Acrobot-v1", "Taxi-v3"])
def test_a_short_run(tmp_path: Path, env: str) -> None:
    assert program.main(["--env", env, *SHORT, "--out", str(tmp_path / "out")]) == 0
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert 2048 <= metrics["steps"] < 2048 + 512
    assert imread(tmp_path / "out" / "returns.png")[..., 0].std() > 0.03


def test_a_short_study(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert study.main(["--seeds", "0", "1", *SHORT, "--out", str(tmp_path / "out")]) == 0
    printed = capsys.readouterr().out
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert list(metrics["table"]) == list(ALGORITHMS)
    assert len(metrics["runs"]) == 2 * len(ALGORITHMS)
    for run in metrics["runs"]:
        assert 2048 <= run["steps"] < 2048 + 512
        assert f"{metrics['table'][run['algorithm']]['evaluation']:.1f}" in printed
        assert run["area"] == pytest.approx(np.mean(run["curve"]), abs=0.02)
    assert set(metrics["differences"]) == set(ALGORITHMS) - {"relax"}
    areas = {(r["algorithm"], r["seed"]): r["area"] for r in metrics["runs"]}
    pairs = [areas["relax", seed] - areas["a2c", seed] for seed in (0, 1)]
    assert metrics["differences"]["a2c"]["mean"] == pytest.approx(np.mean(pairs), rel=1e-4)
    assert imread(tmp_path / "out" / "learning_curves.png")[..., 0].std() > 0.05


@pytest.mark.parametrize(
    ("arguments", "allowed"),
    [
        (["--env", "Pong"], "'CartPole-v1', 'Acrobot-v1', 'Taxi-v3'"),
        (["--algorithm", "ppo"], "'ppo' is unknown; choose from reinforce, reinforce-average"),
        (["--algorithm", "a2c", "a2c"], "'a2c' is repeated"),
        (["--seeds", "1", "1"], "give each once"),
        (["--steps", "511"], "one update takes 512"),
        (["--learning-rate", "2e6"], "at most 1e6"),
    ],
)
def test_refusals(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], allowed: str
) -> None:
    check_refusal(study, arguments, allowed, tmp_path, capsys)


def test_gradient_that_is_not_finite_ends_the_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = {"squares": float("nan"), "squares_without": 0.0}
    monkeypatch.setattr(Agent, "update", lambda self, segment, left: broken)
    assert program.main([*SHORT, "--out", str(tmp_path / "out")]) == 1
    line = capsys.readouterr().err
    assert line.count("\n") == 1
    assert "not finite after 512 environment steps; lower --learning-rate" in line
    assert list(tmp_path.iterdir()) == []
