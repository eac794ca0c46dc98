"""Gradient estimators on a sigmoid belief network: bounds, variance and time, side by side."""

import importlib
import sys
import time
from argparse import BooleanOptionalAction
from collections.abc import Mapping, Sequence
from functools import cache, partial
from types import SimpleNamespace
from typing import Any

import numpy as np

from models.common.cli import BadArgumentError, positive_int, seed_int
from models.common.program import finish
from models.data import Digits, load_digits
from models.studies.belief_curves import bars, curves
from models.studies.kept import Kept, Study, chosen

COMMON_POINT = "rebar"
"""The estimator at whose trained weights gradients are compared, if it is in the table."""
IMAGES = 200
"""The batch whose gradient's variance is measured."""


def lane(options: Any, digits: Digits, estimator: str, seed: int) -> Any:
    """An estimator at its first step, on the host that was asked for."""
    asked = {"layers": options.layers, "latents": options.latents}
    each = SimpleNamespace(estimator=estimator, seed=seed, exact_kl=options.exact_kl, **asked)
    lanes = importlib.import_module(f"models.studies.belief_{options.backend}")
    return lanes.Lane(each, digits.train, options.steps)


def timed(one: Any) -> float:
    """Take steps; returns the time of one."""
    start = time.perf_counter()
    count = len(one.advance())
    return (time.perf_counter() - start) / count


def step_times(options: Any, digits: Digits, names: Sequence[str]) -> dict[str, float]:
    """The median time of a step of each estimator, which take turns on a busy machine."""
    lanes = {name: lane(options, digits, name, options.seeds[0]) for name in names}
    # The first turn compiles.
    turns = [{name: timed(lanes[name]) for name in names} for _ in range(6)][1:]
    return {name: float(np.median([turn[name] for turn in turns])) for name in names}


def train(options: Any, digits: Digits, estimator: str, seed: int, more: int) -> dict[str, Any]:
    """The bounds after the steps asked for, and after `more` steps, and every loss."""
    one = lane(options, digits, estimator, seed)
    losses: list[float] = []
    found = {}
    for steps in (options.steps, more):
        while len(losses) < steps:
            losses += list(one.advance())
        test = one.bound(digits.test, options.passes) if len(digits.test) else None
        found[str(steps)] = one.bound(digits.train, options.passes), test
    ends = (".temperature", ".eta", ".average")
    learned = {name: float(x) for name, x in one.params().items() if name.endswith(ends)}
    return {"bounds": found, "losses": losses, "learned": learned}


def variances(options: Any, digits: Digits, names: Sequence[str], keep: Kept) -> dict[str, float]:
    """The variance of each estimator's gradient in the guide's weights, all at the same weights."""

    @cache
    def point() -> Any:
        there = COMMON_POINT if COMMON_POINT in names else names[0]
        one, done = lane(options, digits, there, options.seeds[0]), 0
        while done < options.steps:
            done += len(one.advance())
        maps = ("infer", "generate")
        return {name: x for name, x in one.params().items() if name.startswith(maps)}

    def measure(name: str) -> float:
        one = lane(options, digits, name, options.seeds[0])
        few, adapt = digits.train[:IMAGES], min(500, options.steps)
        stats = one.gradient_stats(point(), few, options.variance_draws, adapt)
        infer = [value for key, value in stats.variance.items() if key.startswith("infer")]
        return float(sum(value.sum() for value in infer)) / IMAGES

    return {name: keep(f"{name} variance", partial(measure, name)) for name in names}


def mean(values: Sequence[float | None]) -> float | None:
    """The mean of what is known."""
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def lines(table: Mapping[str, Any], timed: bool) -> list[str]:
    """The printed table, best training bound first."""

    def cells(bounds: Sequence[float | None]) -> str:
        return "".join(f"{'-' if b is None else format(b, '.2f'):>10s}" for b in bounds)

    head = (
        f"{'estimator':17s}{'KL':>8s}{'training':>10s}{'test':>10s}{'variance':>11s}{'step':>10s}"
    )
    out = [head + (f"  |{'equal time':>12s}{'training':>10s}{'test':>10s}" if timed else "")]
    for name, row in sorted(table.items(), key=lambda item: -item[1]["bounds"][0]):
        variance = "-" if row["variance"] is None else f"{row['variance']:.4g}"
        line = f"{name:17s}{row['kl']:>8s}{cells(row['bounds'])}{variance:>11s}"
        line += f"{row['step_ms']:7.2f} ms"
        more = f"  |{row['steps_in_equal_time']:6d} steps{cells(row['bounds_in_equal_time'])}"
        out.append(line + (more if timed else ""))
    return out


def run(options: Any, keep: Kept, command: str) -> None:
    """Measure what is not kept yet, and write the pictures and the numbers."""
    program = importlib.import_module(f"models.{options.backend}.sigmoid_belief_network")
    names = chosen("--estimator", options.estimator, list(program.ESTIMATORS))
    if len(set(options.seeds)) < len(options.seeds):
        raise BadArgumentError("--seeds", "a seed is repeated; give each once")
    if options.variance_draws == 1:
        raise BadArgumentError("--variance-draws", "1 has no variance; give 2 or more, or 0")
    digits = load_digits(options.held_out, threshold=0.5)
    seconds = keep("times", partial(step_times, options, digits, names))
    slowest, table, losses = max(seconds[n] for n in names) * options.steps, {}, {}
    for name in names:
        steps = options.steps
        if options.equal_time:
            steps = max(steps, round(slowest / seconds[name] / 50) * 50)
        runs = [
            keep(f"{name} {seed}", partial(train, options, digits, name, seed, steps))
            for seed in options.seeds
        ]
        ends = [[run["bounds"][str(at)] for run in runs] for at in (options.steps, steps)]
        first, last = ([mean(each) for each in zip(*end, strict=True)] for end in ends)
        of_training = [bounds[0] for bounds in ends[0]]
        table[name] = {
            "kl": "exact" if options.exact_kl and name != "tracegraph" else "sampled",
            "bounds": first,
            "spread": float(np.std(of_training, ddof=1)) if len(runs) > 1 else None,
            "step_ms": 1e3 * seconds[name],
            "variance": None,
            "steps_in_equal_time": steps,
            "bounds_in_equal_time": last,
            "each": [{"bounds": run["bounds"], "learned": run["learned"]} for run in runs],
        }
        losses[name] = np.mean([run["losses"] for run in runs], 0)
    if options.variance_draws:
        for name, value in variances(options, digits, names, keep).items():
            table[name]["variance"] = value
    title = f"Sigmoid belief network, {options.layers} layer(s), {options.backend}"
    figures = {
        "curves.png": lambda p: curves(p, losses, seconds, options.steps, title),
        "variance.png": lambda p: bars(p, table, title),
    }
    metrics = {"training_images": len(digits.train), "steps": options.steps}
    metrics |= {"seeds": options.seeds, "held_out_images": len(digits.test), "table": table}
    finish(options, command, metrics, figures, lines(table, options.equal_time))


main = Study("sigmoid_belief_network", __doc__, run, needs=("mlxtend",))
main.add("--estimator", nargs="+", metavar="NAME", default=["all"], help="the program's, by name")
main.add("--layers", type=int, choices=(1, 2), default=1, help="of codes")
main.add("--latents", type=positive_int, default=200, help="codes in a layer")
main.add("--exact-kl", action=BooleanOptionalAction, default=True, help="integrate the codes' KL")
main.add("--steps", type=positive_int, default=2000, help="optimiser steps")
main.add("--equal-time", action="store_true", help="again after the time of the slowest")
main.add("--seeds", type=seed_int, nargs="+", default=[0], help="of weights and draws")
main.add("--passes", type=positive_int, default=20, help="draws for a bound")
main.add("--held-out", type=int, default=500, help="images to hold out; 0 trains on all")
main.add("--variance-draws", type=int, default=200, help="gradients for a variance; 0 for none")

if __name__ == "__main__":
    sys.exit(main())
