"""The command line of the sigmoid belief network."""

import argparse
import importlib
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

from models.common.cli import (
    BadArgumentError,
    OneLineParser,
    add_mnist,
    add_out,
    command_line,
    launch,
    load_host,
    positive_float,
    positive_int,
    require,
    seed_int,
)
from models.sigmoid_belief_network.estimators import ALL, choose

PROG = "sigmoid_belief_network"
NEEDED = ("matplotlib", "mlxtend", "tqdm")


def count_int(text: str) -> int:
    """Parse a whole number of at least 0."""
    return 0 if text.strip() == "0" else positive_int(text)


def build_parser() -> OneLineParser:
    """The parser of this program."""
    parser = OneLineParser(
        prog=PROG,
        description="Fit a sigmoid belief network to handwritten digits with one or more gradient "
        "estimators and set their bounds, their variance and their time side by side.",
    )
    add = parser.add_argument
    add("--backend", choices=("numpyro", "pyro"), default="numpyro", help="the host")
    add(
        "--estimator",
        nargs="+",
        metavar="NAME",
        default=["rebar"],
        help=f"one or more of {', '.join(ALL)}; or all",
    )
    add("--layers", type=int, choices=(1, 2), default=1, help="stochastic layers")
    add("--latents", type=positive_int, default=None, help="in a layer; left out: 200")
    add(
        "--hidden",
        type=count_int,
        default=0,
        help="tanh units in the hidden layer of each map between layers; 0 for linear maps",
    )
    add(
        "--exact-kl",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="integrate the KL of the codes where it is exact (never with tracegraph)",
    )
    add("--steps", type=positive_int, default=None, help="optimiser steps; left out: 2000")
    add(
        "--seconds",
        type=positive_float,
        default=None,
        help="also report where each estimator is after this training time",
    )
    add("--equal-time", action="store_true", help="the same, after the time of the slowest one")
    add(
        "--seed",
        type=seed_int,
        nargs="+",
        default=[0],
        help="of the weights and of every draw; averages over several",
    )
    add(
        "--particles",
        type=positive_int,
        default=None,
        help="draws of the guide in a step; left out: 4 for rloo, else 1",
    )
    add(
        "--temperature",
        type=positive_float,
        default=None,
        help="of the relaxation, or where learning it starts; left out: the estimator's own",
    )
    add("--batch-size", type=positive_int, default=100, help="images in a step")
    add("--learning-rate", type=positive_float, default=1e-3, help="of Adam")
    add("--passes", type=positive_int, default=None, help="draws for a bound; left out: 20")
    add(
        "--variance-draws",
        type=count_int,
        default=None,
        help="gradients for a variance; 0 leaves it out; left out: 200",
    )
    add("--held-out", type=count_int, default=500, help="images to hold out; 0 trains on all")
    add_mnist(parser)
    add_out(parser, PROG, "folder for the curves and the metrics")
    add(
        "--quick",
        action="store_true",
        help="see it run: 20 latents, 200 steps and few draws, unless told otherwise",
    )
    add("--quiet", action="store_true", help="no progress bar")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program.

    :param argv: its arguments; None for those of the process.
    :returns: 0 when all went well; 2 for an argument that cannot be used; 1 for a failed run.
    """

    def body(options: Any, given: list[str]) -> None:
        choices = choose(
            options.estimator, options.exact_kl, options.particles, options.temperature
        )
        if len(set(options.seed)) < len(options.seed):
            raise BadArgumentError("--seed", "a seed is repeated; give each once")
        if options.variance_draws == 1:
            raise BadArgumentError(
                "--variance-draws", "1 has no variance; give 2 or more, or 0 for none"
            )
        if options.equal_time and len(choices) < 2:
            raise BadArgumentError(
                "--equal-time", "not allowed with one --estimator; give several, or all"
            )
        if options.equal_time and options.seconds is not None:
            raise BadArgumentError(
                "--seconds", "not allowed together with --equal-time; give one of the two"
            )
        require(NEEDED, "models", "this program")
        load_host(options.backend)

        from models.data import load_digits
        from models.sigmoid_belief_network import report
        from models.sigmoid_belief_network.result import QUICK, Settings
        from models.sigmoid_belief_network.table import run_table

        digits = load_digits(options.mnist, options.held_out, threshold=0.5)
        count = len(digits.train)
        if options.batch_size > count:
            raise BadArgumentError(
                "--batch-size", f"{options.batch_size} is not allowed; 1 to {count}"
            )
        sizes = QUICK if options.quick else Settings()
        settings = replace(
            sizes,
            layers=options.layers,
            latents=options.latents or sizes.latents,
            hidden=options.hidden,
            steps=options.steps or sizes.steps,
            batch_size=options.batch_size,
            learning_rate=options.learning_rate,
            passes=options.passes or sizes.passes,
            variance_draws=sizes.variance_draws
            if options.variance_draws is None
            else options.variance_draws,
            progress=not options.quiet,
        )
        host = importlib.import_module(f"models.sigmoid_belief_network.{options.backend}_model")
        rows = run_table(
            digits,
            choices,
            options.seed,
            settings,
            host.Trainer,
            host.Trainer.chunk,
            options.seconds,
            options.equal_time,
        )
        asked = {
            "command": command_line("models.sigmoid_belief_network", given),
            "backend": options.backend,
            "estimators": [choice.name for choice in choices],
            "seeds": options.seed,
            "particles": options.particles,
            "temperature": options.temperature,
            **{key: value for key, value in asdict(settings).items() if key != "progress"},
        }
        metrics = report.summarise(asked, digits, choices, rows)
        report.write(options.out, metrics, rows)
        print("\n".join(report.lines(metrics)))
        print(f"written to {options.out}: {', '.join(report.FILES)}")

    return launch(build_parser(), argv, body)
