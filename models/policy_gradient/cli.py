"""The command line of the policy gradient."""

from collections.abc import Sequence
from typing import Any

from models.common.cli import (
    BadArgumentError,
    OneLineParser,
    add_out,
    command_line,
    launch,
    positive_float,
    positive_int,
    require,
    seed_int,
)
from models.policy_gradient.result import ALGORITHMS

PROG = "policy_gradient"
ENVS = ("CartPole-v1", "Acrobot-v1", "Taxi-v3")
QUICK_STEPS = 2048
QUICK_EPISODES = 5


def seed_list(text: str) -> list[int]:
    """Parse seeds with commas between them."""
    return [seed_int(part) for part in text.split(",")]


def algorithm_list(text: str) -> list[str]:
    """The algorithms that a user's word names.

    :raises BadArgumentError: `--algorithm` has an unknown name, or one twice.
    """
    names = list(ALGORITHMS) if text == "all" else text.split(",")
    for name in names:
        if name not in ALGORITHMS:
            raise BadArgumentError(
                "--algorithm",
                f"{name!r} is not allowed; choose from {', '.join(ALGORITHMS)}, or all",
            )
    if len(set(names)) < len(names):
        raise BadArgumentError("--algorithm", "an algorithm is repeated; give each once")
    return names


def build_parser() -> OneLineParser:
    """The parser of this program."""
    parser = OneLineParser(
        prog=PROG,
        description="Learn to act by REINFORCE, A2C or RELAX, all with the same networks and the "
        "same number of environment steps, and draw their learning curves.",
    )
    add = parser.add_argument
    add("--env", choices=ENVS, default="CartPole-v1", help="the environment, of gymnasium")
    add(
        "--algorithm",
        metavar="NAMES",
        default="relax",
        help=f"one of {', '.join(ALGORITHMS)}; several with commas between them; or all",
    )
    add("--seed", type=seed_int, default=0, help="of the environments, the weights, every draw")
    add(
        "--seeds",
        type=seed_list,
        default=None,
        metavar="LIST",
        help="several seeds with commas between them, instead of --seed",
    )
    add(
        "--steps",
        type=positive_int,
        default=None,
        help="environment steps, those of all copies together; left out: the environment's own",
    )
    add(
        "--learning-rate",
        type=positive_float,
        default=None,
        help="of Adam for the policy; left out: what was tuned",
    )
    add("--envs", type=positive_int, default=4, help="copies of the environment side by side")
    add("--length", type=positive_int, default=128, help="steps of each copy between two updates")
    add("--evaluation-episodes", type=positive_int, default=100, help="played after training")
    add(
        "--quick",
        action="store_true",
        help=f"a short run to see that all is well: {QUICK_STEPS} steps, {QUICK_EPISODES} "
        "evaluation episodes",
    )
    add_out(parser, PROG, "folder for the curves and the metrics")
    add("--quiet", action="store_true", help="no progress bar")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program.

    :param argv: its arguments; None for those of the process.
    :returns: 0 when all went well; 2 for an argument that cannot be used; 1 for a failed run.
    """

    def body(options: Any, given: list[str]) -> None:
        algorithms = algorithm_list(options.algorithm)
        seeds = options.seeds or [options.seed]
        if len(set(seeds)) < len(seeds):
            raise BadArgumentError("--seeds", "a seed is repeated; give each once")
        if options.quick and options.steps is not None:
            raise BadArgumentError("--quick", "not allowed together with --steps; give one of them")
        if options.learning_rate is not None and options.learning_rate > 1e6:
            raise BadArgumentError(
                "--learning-rate", f"{options.learning_rate:g} is not allowed; give at most 1e6"
            )
        require(("gymnasium", "matplotlib", "tqdm", "scipy"), "models", "this program")
        require(("torch",), "pyro", "this program")

        from models.policy_gradient import report
        from models.policy_gradient.environments import ENVIRONMENTS
        from models.policy_gradient.result import Settings
        from models.policy_gradient.training import train

        environment = ENVIRONMENTS[options.env]
        steps = QUICK_STEPS if options.quick else options.steps or environment.steps
        least = options.envs * options.length
        if steps < least:
            raise BadArgumentError(
                "--steps",
                f"{steps} is not allowed: one update takes {least} (--envs times --length); "
                "give as many or more",
            )
        results = [
            train(
                Settings(
                    env=options.env,
                    algorithm=algorithm,
                    seed=seed,
                    steps=steps,
                    learning_rate=options.learning_rate or environment.learning_rates[algorithm],
                    discount=environment.discount,
                    envs=options.envs,
                    length=options.length,
                    evaluation_episodes=QUICK_EPISODES
                    if options.quick
                    else options.evaluation_episodes,
                    progress=not options.quiet,
                )
            )
            for seed in seeds
            for algorithm in algorithms
        ]
        asked = {
            "command": command_line("models.policy_gradient", given),
            "env": options.env,
            "algorithms": algorithms,
            "seeds": seeds,
            "steps": steps,
        }
        metrics = report.summarise(asked, results, environment.solved)
        report.write(options.out, metrics)
        print("\n".join(report.lines(metrics)))
        print(f"written to {options.out}: {', '.join(report.FILES)}")

    return launch(build_parser(), argv, body)
