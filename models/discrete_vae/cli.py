"""The command line of the discrete VAE."""

import importlib
from collections.abc import Sequence
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
from models.discrete_vae.latents import KINDS, LAWS, choose

PROG = "discrete_vae"
DEFAULT_STEPS = 3000
NEEDED = ("matplotlib", "mlxtend", "tqdm", "xarray", "h5netcdf")


def build_parser() -> OneLineParser:
    """The parser of this program."""
    parser = OneLineParser(
        prog=PROG,
        description="Fit a variational autoencoder with discrete latents to handwritten digits "
        "and report the bound of the discrete model on digits held out.",
    )
    add = parser.add_argument
    add("--backend", choices=("numpyro", "pyro"), default="numpyro", help="the host")
    add(
        "--latent",
        choices=tuple(KINDS),
        default="bernoulli",
        help="200 binary latents, 20 of ten categories, 40 subsets of two of five items, or 100 "
        "counts",
    )
    add(
        "--distribution",
        metavar="NAME",
        default=None,
        help="what stands for the latent while training: "
        + ", ".join(f"{name} ({law.kind})" for name, law in LAWS.items())
        + "; left out: the straight-through one",
    )
    add(
        "--temperature",
        type=positive_float,
        default=None,
        help="of the relaxation; left out: 0.5",
    )
    add(
        "--steps",
        type=positive_int,
        default=None,
        help=f"optimiser steps; left out: {DEFAULT_STEPS}",
    )
    add("--epochs", type=positive_int, default=None, help="passes over the data, instead of steps")
    add("--batch-size", type=positive_int, default=100, help="images in a step")
    add("--learning-rate", type=positive_float, default=2e-3, help="of Adam")
    add("--seed", type=seed_int, default=0, help="of the weights and of every draw")
    add("--test-samples", type=positive_int, default=50, help="draws per held-out image")
    add("--held-out", type=positive_int, default=500, help="images to hold out")
    add_mnist(parser)
    add_out(parser, PROG, "folder for the pictures, the metrics and the posterior")
    add("--quiet", action="store_true", help="no progress bar")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program.

    :param argv: its arguments; None for those of the process.
    :returns: 0 when all went well; 2 for an argument that cannot be used; 1 for a failed run.
    """

    def body(options: Any, given: list[str]) -> None:
        name, law = choose(options.latent, options.distribution, options.temperature)
        if options.steps is not None and options.epochs is not None:
            raise BadArgumentError(
                "--epochs", "not allowed together with --steps; give one of the two"
            )
        require(NEEDED, "models", "this program")
        load_host(options.backend)

        from models.data import load_digits
        from models.discrete_vae import report
        from models.discrete_vae.result import Settings

        digits = load_digits(options.mnist, options.held_out)
        count = len(digits.train)
        if options.batch_size > count:
            raise BadArgumentError(
                "--batch-size", f"{options.batch_size} is not allowed; 1 to {count}"
            )
        steps = options.steps or DEFAULT_STEPS
        if options.epochs is not None:
            steps = options.epochs * -(-count // options.batch_size)
        settings = Settings(
            steps=steps,
            batch_size=options.batch_size,
            learning_rate=options.learning_rate,
            seed=options.seed,
            test_samples=options.test_samples,
            progress=not options.quiet,
        )
        temperature = law.temperature if options.temperature is None else options.temperature
        host = importlib.import_module(f"models.discrete_vae.{options.backend}_model")
        result = host.fit_and_evaluate(digits, options.latent, name, temperature, settings)
        result.check()
        asked = {
            "command": command_line("models.discrete_vae", given),
            "backend": options.backend,
            "latent": options.latent,
            "distribution": name,
            "temperature": temperature,
            "steps": steps,
            "batch_size": options.batch_size,
            "learning_rate": options.learning_rate,
            "seed": options.seed,
        }
        metrics = report.summarise(asked, digits, result)
        report.write(options.out, metrics, digits, result)
        print("\n".join(report.lines(metrics)))
        print(f"written to           {options.out}: {', '.join(report.FILES)}")

    return launch(build_parser(), argv, body)
