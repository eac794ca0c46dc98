"""The command line of the sparse regression, its table and its picture."""

import importlib
import time
from argparse import ArgumentTypeError
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from models.common.cli import BadArgumentError, positive_float, positive_int
from models.common.program import build_parser, finish, start
from models.sparse_regression.problem import GATES, LASSOS, Problems, lasso, score, simulate

CORRELATIONS = (0.0, 0.5, 0.8, 0.95)
Table = Mapping[str, Mapping[str, Any]]


def correlation(text: str) -> float:
    """Parse a number from 0 to below 1."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0.0 <= value < 1.0:
        raise ArgumentTypeError(f"{text!r} is not allowed; give a number from 0 to below 1")
    return value


def compare(options: Any, backend: str, problems: Problems) -> dict[str, dict[str, Any]]:
    """Precision, recall and F1 of every method on the same problems."""
    host = importlib.import_module(f"models.sparse_regression.{backend}_model")
    steps = options.steps or (600 if options.quick else 3000)
    penalty = options.penalty or 0.5 * np.log(problems.shape[1])
    found = {}
    for method in (*GATES, *LASSOS):
        begun = time.perf_counter()
        if method in GATES:
            rest = steps, options.learning_rate, options.seed, not options.quiet
            selected, _ = host.select(problems, method, penalty, *rest)
        else:
            selected = lasso(problems, method)
        found[method] = score(selected, problems.relevant) | {
            "selected": selected.sum(1),
            "seconds": time.perf_counter() - begun,
        }
    return found


def summary(found: Table) -> dict[str, dict[str, float]]:
    """Means over the runs, with the standard error of F1 and of its lead over LassoCV."""
    rows = {}
    for method, values in found.items():
        row = {key: float(np.mean(values[key])) for key in ("precision", "recall", "f1")}
        lead = values["f1"] - found["LassoCV"]["f1"]
        row["f1_error"] = standard_error(values["f1"])
        row["lead_over_lasso_cv"] = float(lead.mean())
        row["lead_error"] = standard_error(lead)
        row["selected"] = float(np.mean(values["selected"]))
        rows[method] = row | {"seconds": values["seconds"]}
    return rows


def standard_error(values: Any) -> float:
    """Of the mean; 0 for a single value."""
    return float(np.std(values, ddof=1) / np.sqrt(len(values))) if len(values) > 1 else 0.0


def draw(path: Path, tables: Mapping[float, Table]) -> None:
    """Precision, recall and F1 against the correlation of the features."""
    from models.common.figures import new_figure

    figure = new_figure(11.0, 3.8)
    axes = figure.subplots(1, 3, sharey=True)
    for axis, key in zip(axes, ("precision", "recall", "f1"), strict=True):
        for method in (*GATES, *LASSOS):
            values = [tables[rho][method][key] for rho in tables]
            error = [1.96 * standard_error(v) for v in values]
            style = "o-" if method in GATES else "s--"
            axis.errorbar(list(tables), np.mean(values, 1), error, fmt=style, label=method, ms=4)
        axis.set_title({"f1": "F1"}.get(key, key))
        axis.set_xlabel("correlation of neighbouring features")
        axis.set_ylim(0.0, 1.03)
    axes[0].legend(frameon=False, fontsize=8, loc="lower left")
    figure.savefig(path, dpi=130)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program; returns 0, 2 for an argument that cannot be used, 1 for a failed run."""
    parser = build_parser(
        "sparse_regression",
        "Find the relevant features of simulated regressions by stochastic gates and by the lasso.",
    )
    add = parser.add_argument
    add("--runs", type=positive_int, default=None, help="simulated problems; left out: 20")
    add("--observations", type=positive_int, default=100, help="in each problem")
    add("--features", type=positive_int, default=50, help="in each problem")
    add("--relevant", type=positive_int, default=8, help="features with a coefficient")
    add(
        "--correlation",
        type=correlation,
        default=None,
        metavar="RHO",
        help="of neighbouring features, from 0 to below 1; left out: "
        + ", ".join(map(str, CORRELATIONS)),
    )
    add(
        "--penalty",
        type=positive_float,
        default=None,
        help="nats for an open gate; left out: half the logarithm of the observations, as the BIC",
    )
    add("--steps", type=positive_int, default=None, help="optimiser steps; left out: 3000")
    add("--learning-rate", type=positive_float, default=0.01, help="of Adam")

    def body(options: Any, host: ModuleType, command: str) -> None:
        if options.relevant > options.features:
            raise BadArgumentError(
                "--relevant", f"{options.relevant} is not allowed; 1 to {options.features}"
            )
        if options.observations < 10:
            raise BadArgumentError(
                "--observations", f"{options.observations} is not allowed; 10 or more"
            )
        runs = options.runs or (4 if options.quick else 20)
        sizes = options.observations, options.features, options.relevant
        chosen = (0.8,) if options.quick else CORRELATIONS
        if options.correlation is not None:
            chosen = (options.correlation,)
        tables = {
            rho: compare(options, options.backend, simulate(options.seed, runs, *sizes, rho))
            for rho in chosen
        }
        rows = {rho: summary(table) for rho, table in tables.items()}
        lines = [f"{'rho':<6}{'method':<28}{'precision':>10}{'recall':>8}{'F1':>7}{'lead':>16}"]
        for rho, table in rows.items():
            lines += [
                f"{rho:<6}{method:<28}{row['precision']:>10.3f}{row['recall']:>8.3f}"
                f"{row['f1']:>7.3f}{row['lead_over_lasso_cv']:>+8.3f} +- {row['lead_error']:.3f}"
                for method, row in table.items()
            ]
        names = ("observations", "features", "relevant")
        metrics = {"runs": runs, **dict(zip(names, sizes, strict=True)), "by_correlation": rows}
        finish(options, command, metrics, {"recovery.png": lambda p: draw(p, tables)}, lines)

    return start(parser, argv, body, needs=("sklearn",))
