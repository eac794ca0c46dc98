"""Trains the discrete VAE with every distribution in turn and sets them side by side."""

import importlib
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from models.common.cli import (
    BadArgumentError,
    OneLineParser,
    command_line,
    launch,
    load_host,
    output_folder,
    positive_float,
    positive_int,
    require,
    seed_int,
)
from models.discrete_vae.cli import NEEDED
from models.discrete_vae.latents import LAWS

PROG = "discrete_vae.table"
COLUMNS = 8
PICTURE = "images.png"
ROW = ("discrete_test_bound", "discrete_test_bound_mc_error", "gain_over_baseline")


def lines(rows: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """A header and a line for each distribution."""
    width = max(map(len, rows))
    found = [f"{'distribution':<{width}}  {'latent':<11}{'test bound':>11}{'gain':>9}{'step':>11}"]
    found += [
        f"{name:<{width}}  {row['latent']:<11}{row['discrete_test_bound']:>11.2f}"
        f"{row['gain_over_baseline']:>+9.2f}{row['median_step_ms']:>8.2f} ms"
        for name, row in rows.items()
    ]
    return found


def build_parser() -> OneLineParser:
    """The parser of this program."""
    parser = OneLineParser(
        prog=PROG, description="Fit the discrete VAE with every distribution in turn."
    )
    add = parser.add_argument
    add("--backend", choices=("numpyro", "pyro"), default="numpyro", help="the host")
    add("--distributions", nargs="+", metavar="NAME", default=None, help="left out: all")
    add("--steps", type=positive_int, default=800, help="optimiser steps of each")
    add("--learning-rate", type=positive_float, default=3e-3, help="of Adam")
    add("--seed", type=seed_int, default=0, help="of each run")
    add("--test-samples", type=positive_int, default=10, help="draws per held-out image")
    add("--held-out", type=positive_int, default=500, help="images to hold out")
    add("--out", type=output_folder, default=Path("out/discrete_vae_table"), help="folder")
    add("--quiet", action="store_true", help="no progress bar")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program; returns 0, 2 for an argument that cannot be used, 1 for a failed run."""

    def body(options: Any, given: list[str]) -> None:
        names = options.distributions or list(LAWS)
        for name in names:
            if name not in LAWS:
                raise BadArgumentError(
                    "--distributions", f"{name!r} is unknown; choose from {', '.join(LAWS)}"
                )
        require(NEEDED, "models", "this program")
        load_host(options.backend)

        import numpy as np

        from models.common.figures import image_rows
        from models.common.outputs import write_metrics, written_together
        from models.data import load_digits
        from models.discrete_vae import report
        from models.discrete_vae.result import Settings

        digits = load_digits(None, options.held_out)
        settings = Settings(
            steps=options.steps,
            batch_size=100,
            learning_rate=options.learning_rate,
            seed=options.seed,
            test_samples=options.test_samples,
            posterior_draws=20,
            progress=not options.quiet,
        )
        host = importlib.import_module(f"models.discrete_vae.{options.backend}_model")
        asked = {
            "command": command_line("models.discrete_vae.table", given),
            "backend": options.backend,
            "steps": options.steps,
            "batch_size": settings.batch_size,
            "learning_rate": options.learning_rate,
            "seed": options.seed,
        }
        rows: dict[str, dict[str, Any]] = {}
        shown = min(COLUMNS, len(digits.test))
        blank = np.zeros((COLUMNS, digits.test.shape[1]))
        pictures = {"held out": np.concatenate([digits.test[:shown], blank])}
        for name in names:
            law = LAWS[name]
            result = host.fit_and_evaluate(digits, law.kind, name, None, settings)
            result.check()
            all_of_it = report.summarise(asked, digits, result)
            rows[name] = {
                "latent": law.kind,
                "temperature": law.temperature,
                "training_loss_is_a_bound": not law.mixed,
                **{key: all_of_it[key] for key in (*ROW, "median_step_ms", "training_seconds")},
            }
            correlation = all_of_it.get("largest_correlation")
            if correlation is not None:
                rows[name]["largest_correlation"] = correlation
            pictures[name] = np.concatenate(
                [result.reconstructions[:shown], result.samples[:COLUMNS]]
            )
        common = (
            "data",
            "binarisation",
            "training_images",
            "held_out_images",
            "discrete_test_bound_passes",
            "baseline_test_bound",
            "versions",
        )
        metrics = {**asked, **{key: all_of_it[key] for key in common}, "distributions": rows}
        with written_together(options.out) as folder:
            title = "Reconstructions of held-out digits (left), and new digits (right)"
            image_rows(folder / PICTURE, pictures, title)
            write_metrics(folder / "metrics.json", metrics)
        print("\n".join(lines(rows)))
        print(f"written to {options.out}: metrics.json, {PICTURE}")

    return launch(build_parser(), argv, body)


if __name__ == "__main__":
    sys.exit(main())
