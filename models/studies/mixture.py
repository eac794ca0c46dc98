"""Every method's answer to the mixture, beside the exact posterior."""

import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from models.common.cli import positive_float, positive_int
from models.common.program import finish
from models.data import petal_lengths
from models.studies import mixture_truth as truth
from models.studies.kept import Kept, Study, chosen, program

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
TRUTH, BEST = "truth", "best factorised"


def answer(host: Any, options: Any, method: str, y: Any) -> Any:
    """What the program's guide says after training by a method."""
    return host.answer(*host.train(options, method, y)[1:])


def fitted(y: Any, found: Mapping[str, Any], draws: int, rng: np.random.Generator) -> truth.Answer:
    """The answer of a trained guide."""
    mean, spread = (np.array(found[name]) for name in ("mean", "spread"))
    if "probs" not in found:
        return truth.marginalised(y, mean, spread, draws, rng)
    return truth.factorised(y, mean, spread, np.array(found["probs"]), draws, rng)


def table(answers: Mapping[str, truth.Answer]) -> dict[str, dict[str, Any]]:
    """Bounds, means and standard deviations, and distances from truth and best guide."""
    rows = {}
    for name, answer in answers.items():
        row: dict[str, Any] = {"bound": answer.bound}
        for other in (TRUTH, BEST):
            # Total variation between a flower's two answers, averaged over flowers.
            gap = 0.5 * np.abs(answer.probs - answers[other].probs).sum(1).mean()
            row[f"distance_from_{other.split()[0]}"] = float(gap)
        rows[name] = row | {
            "loc_mean": answer.loc.mean(0),
            "loc_sd": answer.loc.std(0, ddof=1),
            "probs": answer.probs,
        }
    return rows


def draw(path: Path, answers: Mapping[str, truth.Answer], y: Any) -> None:
    """A forest of the means, and each method's assignments as shares of three colours."""
    from models.common.figures import group_shares, new_figure

    figure = new_figure(12.5, 6.2)
    left, right = figure.subplots(1, 2)
    names = list(answers)
    for row, name in enumerate(names):
        quantiles = np.quantile(answers[name].loc, QUANTILES, axis=0)
        for component in range(truth.COMPONENTS):
            low, quarter, median, three_quarters, high = quantiles[:, component]
            height = component * (len(names) + 1) + row
            left.plot([low, high], [height, height], color=f"C{row}", lw=1)
            left.plot([quarter, three_quarters], [height, height], color=f"C{row}", lw=3)
            left.plot(median, height, "o", color="white", mec=f"C{row}", ms=4)
    centres = [c * (len(names) + 1) + (len(names) - 1) / 2 for c in range(truth.COMPONENTS)]
    left.set_yticks(centres, [f"loc[{c}]" for c in range(truth.COMPONENTS)], fontsize=8)
    left.invert_yaxis()
    left.set_title("means of the components: median, quartiles, 90 % interval", fontsize=10)
    shares = {name: answer.probs for name, answer in answers.items()}
    group_shares(right, shares, y)
    for index, label in enumerate(right.get_yticklabels()):
        label.set_color(f"C{index}")
    right.set_xlabel("petal length of each flower (cm)")
    figure.savefig(path, dpi=130)


def run(options: Any, keep: Kept, command: str) -> None:
    """Measure what is not kept yet, and write the pictures and the numbers."""
    host = program(options, "mixture")
    y, rng = petal_lengths(), np.random.default_rng(options.seed)
    answers = {
        TRUTH: truth.exact(y, options.draws, rng),
        BEST: truth.best_factorised(y, options.draws, rng),
    }
    for method in chosen("--method", options.method, list(host.METHODS)):
        found = keep(method, partial(answer, host, options, method, y))
        answers[method] = fitted(y, found, options.draws, rng)
    rows = table(answers)
    lines = [
        f"{'method':<17}{'bound':>9}{'from truth':>12}{'from best':>12}   means (standard dev.)"
    ]
    for name, row in rows.items():
        pairs = zip(row["loc_mean"], row["loc_sd"], strict=True)
        means = ", ".join(f"{mean:.2f} ({sd:.2f})" for mean, sd in pairs)
        near = "".join(f"{row[f'distance_from_{other}']:>12.4f}" for other in ("truth", "best"))
        lines.append(f"{name:<17}{row['bound']:>9.3f}{near}   {means}")
    metrics = {"lengths": y, "steps": options.steps, "answers": rows}
    figures = {"answers.png": lambda p: draw(p, answers, y)}
    finish(options, command, metrics, figures, lines)


main = Study("mixture", __doc__, run, needs=("scipy", "sklearn"))
main.add("--method", nargs="+", default=["all"], metavar="NAME", help="methods of the program")
main.add("--steps", type=positive_int, default=3000, help="of each method")
main.add("--learning-rate", type=positive_float, default=0.01, help="of Adam")
main.add("--draws", type=positive_int, default=4000, help="of each answer")

if __name__ == "__main__":
    sys.exit(main())
