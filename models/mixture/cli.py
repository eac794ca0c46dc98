"""The command line of the mixture, its table and its picture."""

import importlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from scipy.special import logsumexp

from models.common.cli import BadArgumentError, positive_float, positive_int
from models.common.program import build_parser, finish, start
from models.mixture import truth

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
METHODS = (
    "relaxed",
    "straight-through",
    "score function",
    "RLOO",
    "DisARM",
    "REBAR",
    "RELAX",
    "TraceEnum",
)
TRUTH, BEST = "truth", "best factorised"


def fitted(y: Any, params: Mapping[str, Any], draws: int, rng: np.random.Generator) -> truth.Answer:
    """The answer of trained parameters."""
    mean, spread = (np.asarray(params[name], float) for name in ("mean", "spread"))
    if "logits" not in params:
        return truth.marginalised(y, mean, spread, draws, rng)
    logits = np.asarray(params["logits"], float)
    probs = np.exp(logits - logsumexp(logits, axis=-1, keepdims=True))
    return truth.factorised(y, mean, spread, probs, draws, rng)


def as_arviz(answers: Mapping[str, truth.Answer], y: Any) -> dict[str, Any]:
    """Each answer's draws as ArviZ's object; a guide's draws are independent, so one chain."""
    import arviz as az

    names = {"loc": ["component"], "assignment": ["flower"], "length": ["flower"]}
    made = {}
    for name, answer in answers.items():
        posterior = {"loc": answer.loc[None], "assignment": answer.assignment[None]}
        groups = {"posterior": posterior, "observed_data": {"length": y}}
        # ArviZ 1.x takes the groups as one argument.
        old = az.__version__.startswith("0.")
        made[name] = az.from_dict(**groups, dims=names) if old else az.from_dict(groups, dims=names)
    return made


def table(
    answers: Mapping[str, truth.Answer], data: Mapping[str, Any]
) -> dict[str, dict[str, Any]]:
    """Bounds, ArviZ's means and standard deviations, and distances from truth and best guide."""
    import arviz as az

    rows = {}
    for name, answer in answers.items():
        found = az.summary(data[name], var_names=["loc"], kind="stats", round_to=4)
        row: dict[str, Any] = {"bound": answer.bound}
        for other in (TRUTH, BEST):
            # Total variation between a flower's two answers, averaged over flowers.
            gap = 0.5 * np.abs(answer.probs - answers[other].probs).sum(1).mean()
            row[f"assignment_distance_from_{other.replace(' ', '_')}"] = float(gap)
        rows[name] = row | {
            "loc_mean": found["mean"].to_numpy(),
            "loc_sd": found["sd"].to_numpy(),
            "assignment_probs": answer.probs,
        }
    return rows


def draw(path: Path, answers: Mapping[str, truth.Answer], data: Mapping[str, Any], y: Any) -> None:
    """A forest of the means, and each method's assignments as shares of three colours."""
    from models.common.figures import new_figure

    figure = new_figure(12.5, 6.2)
    left, right = figure.subplots(1, 2)
    names = list(answers)
    for row, name in enumerate(names):
        loc = data[name]["posterior"]["loc"].quantile(QUANTILES, dim=("chain", "draw"))
        for component in range(truth.COMPONENTS):
            low, quarter, median, three_quarters, high = loc.isel(component=component).to_numpy()
            height = component * (len(names) + 1) + row
            left.plot([low, high], [height, height], color=f"C{row}", lw=1)
            left.plot([quarter, three_quarters], [height, height], color=f"C{row}", lw=3)
            left.plot(median, height, "o", color="white", mec=f"C{row}", ms=4)
    centres = [c * (len(names) + 1) + (len(names) - 1) / 2 for c in range(truth.COMPONENTS)]
    left.set_yticks(centres, [f"loc[{c}]" for c in range(truth.COMPONENTS)], fontsize=8)
    left.invert_yaxis()
    left.set_title("means of the components: median, quartiles, 90 % interval", fontsize=10)
    for row, name in enumerate(names):
        edge = np.zeros(len(y))
        for component in range(truth.COMPONENTS):
            share = 0.8 * answers[name].probs[:, component]
            right.bar(np.arange(len(y)), share, 0.9, row + edge - 0.4, color=f"C{component}")
            edge = edge + share
    right.set_yticks(range(len(names)), names, fontsize=8)
    for index, label in enumerate(right.get_yticklabels()):
        label.set_color(f"C{index}")
    right.invert_yaxis()
    right.set_xticks(range(len(y)), [f"{value:g}" for value in y], fontsize=8)
    right.set_xlabel("petal length of each flower (cm)")
    right.set_title("probability of each component", fontsize=10)
    figure.savefig(path, dpi=130)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program; returns 0, 2 for an argument that cannot be used, 1 for a failed run."""
    parser = build_parser(
        "mixture",
        "Fit a small mixture by every method and set each answer beside the exact posterior.",
    )
    add = parser.add_argument
    add(
        "--method",
        nargs="+",
        default=list(METHODS),
        metavar="NAME",
        help="methods to run: " + ", ".join(METHODS),
    )
    add("--steps", type=positive_int, default=None, help="of each method; left out: 3000")
    add("--learning-rate", type=positive_float, default=0.01, help="of Adam")
    add("--draws", type=positive_int, default=4000, help="of each answer, for ArviZ")

    def body(options: Any, _: ModuleType, command: str) -> None:
        for name in options.method:
            if name not in METHODS:
                raise BadArgumentError(
                    "--method", f"{name!r} is unknown; choose from {', '.join(METHODS)}"
                )
        host = importlib.import_module(f"models.mixture.{options.backend}_model")
        y, rng = truth.petal_lengths(), np.random.default_rng(options.seed)
        answers = {
            TRUTH: truth.exact(y, options.draws, rng),
            BEST: truth.best_factorised(y, options.draws, rng),
        }
        steps = options.steps or (100 if options.quick else 3000)
        for method in options.method:
            rest = steps, options.learning_rate, options.seed, not options.quiet
            answers[method] = fitted(y, host.parameters(method, y, *rest), options.draws, rng)
        data = as_arviz(answers, y)
        rows = table(answers, data)
        lines = [
            f"{'method':<17}{'bound':>9}{'from truth':>12}{'from best':>12}   means (standard dev.)"
        ]
        for name, row in rows.items():
            distances = [
                row[f"assignment_distance_from_{other}"] for other in ("truth", "best_factorised")
            ]
            pairs = zip(row["loc_mean"], row["loc_sd"], strict=True)
            means = ", ".join(f"{mean:.2f} ({sd:.2f})" for mean, sd in pairs)
            near = "".join(f"{distance:>12.4f}" for distance in distances)
            lines.append(f"{name:<17}{row['bound']:>9.3f}{near}   {means}")
        metrics = {"lengths": y, "steps": steps, "answers": rows}
        figures = {"answers.png": lambda p: draw(p, answers, data, y)}
        finish(options, command, metrics, figures, lines)

    return start(parser, argv, body, needs=("arviz", "scipy", "sklearn"))
