"""Gates against the lasso: how well each finds the relevant features of simulated regressions."""

import sys
import warnings
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.common.cli import BadArgumentError, fraction, positive_float, positive_int
from models.common.program import finish
from models.data import Regressions, simulate_regressions
from models.studies.kept import Kept, Study, program

Selected = NDArray[np.bool_]
Table = Mapping[str, Mapping[str, Any]]

CORRELATIONS = (0.0, 0.5, 0.8, 0.95)
LASSOS = ("LassoCV", "LassoLarsIC (BIC)")


def lasso(problems: Regressions, name: str) -> Selected:
    """The features to which scikit-learn's lasso gives a coefficient.

    :param problems: the data.
    :param name: one of `LASSOS`: the penalty by 5-fold cross-validation, or by the BIC.
    :returns: Shape (runs, p).
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LassoCV, LassoLarsIC

    def fitted(x: NDArray[np.floating], y: NDArray[np.floating]) -> NDArray[np.floating]:
        chosen = LassoCV(cv=5) if name == "LassoCV" else LassoLarsIC(criterion="bic")
        return chosen.fit(x, y).coef_

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        pairs = zip(problems.features.astype(float), problems.response.astype(float), strict=True)
        return np.array([fitted(x, y) != 0.0 for x, y in pairs])


def score(selected: Selected, relevant: Selected) -> dict[str, NDArray[np.float64]]:
    """Precision, recall and F1 of each run; precision is 0 where nothing was selected.

    :param selected: (runs, p).
    :param relevant: (runs, p), at least one in each run.
    :returns: "precision", "recall" and "f1", each (runs,).
    """
    hits = (selected & relevant).sum(1)
    chosen, wanted = selected.sum(1), relevant.sum(1)
    return {
        "precision": hits / np.maximum(chosen, 1),
        "recall": hits / wanted,
        "f1": 2.0 * hits / (chosen + wanted),
    }


def measure(host: Any, options: Any, method: str, problems: Regressions) -> dict[str, Any]:
    """Precision, recall and F1 of a method on each problem, and how many features it selects."""
    if method in LASSOS:
        found = lasso(problems, method)
    else:
        found = host.selected(method, host.train(options, method, problems)[2])
    return score(found, problems.relevant) | {"selected": found.sum(1)}


def summary(found: Table) -> dict[str, dict[str, float]]:
    """Means over the runs, with the standard error of F1 and of its lead over LassoCV."""
    rows = {}
    for method, values in found.items():
        row = {key: float(np.mean(values[key])) for key in ("precision", "recall", "f1")}
        lead = np.subtract(values["f1"], found["LassoCV"]["f1"])
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
        for method in next(iter(tables.values())):
            values = [tables[rho][method][key] for rho in tables]
            error = [1.96 * standard_error(v) for v in values]
            style = "s--" if method in LASSOS else "o-"
            axis.errorbar(list(tables), np.mean(values, 1), error, fmt=style, label=method, ms=4)
        axis.set_title({"f1": "F1"}.get(key, key))
        axis.set_xlabel("correlation of neighbouring features")
        axis.set_ylim(0.0, 1.03)
    axes[0].legend(frameon=False, fontsize=8, loc="lower left")
    figure.savefig(path, dpi=130)


def run(options: Any, keep: Kept, command: str) -> None:
    """Measure what is not kept yet, and write the pictures and the numbers."""
    if options.relevant > options.features:
        raise BadArgumentError(
            "--relevant", f"{options.relevant} is not allowed; 1 to {options.features}"
        )
    if options.observations < 10:
        raise BadArgumentError(
            "--observations", f"{options.observations} is not allowed; 10 or more"
        )
    host = program(options, "sparse_regression")
    sizes = options.observations, options.features, options.relevant
    tables: dict[float, dict[str, Any]] = {}
    for rho in options.correlation:
        problems = simulate_regressions(options.seed, options.runs, *sizes, rho)
        tables[rho] = {
            method: keep(f"{rho} {method}", partial(measure, host, options, method, problems))
            for method in (*host.GATES, *LASSOS)
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
    metrics = {"runs": options.runs, **dict(zip(names, sizes, strict=True))}
    metrics["by_correlation"] = rows
    finish(options, command, metrics, {"recovery.png": lambda p: draw(p, tables)}, lines)


main = Study("sparse_regression", __doc__, run, needs=("sklearn",))
main.add("--runs", type=positive_int, default=20, help="simulated problems")
main.add("--observations", type=positive_int, default=100, help="in each problem")
main.add("--features", type=positive_int, default=50, help="in each problem")
main.add("--relevant", type=positive_int, default=8, help="features with a coefficient")
main.add(
    "--correlation",
    type=fraction,
    nargs="+",
    default=CORRELATIONS,
    metavar="RHO",
    help="of neighbouring features, from 0 to below 1",
)
main.add("--penalty", type=positive_float, help="nats for an open gate; left out: as in the BIC")
main.add("--steps", type=positive_int, default=3000, help="optimiser steps")
main.add("--learning-rate", type=positive_float, default=0.01, help="of Adam")

if __name__ == "__main__":
    sys.exit(main())
