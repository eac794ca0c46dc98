"""What trains attend, infer, repeat: estimators after equally many steps, over several seeds."""

import sys
from argparse import Namespace
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from models.canvases import Canvases, load_canvases
from models.common.cli import positive_int, seed_int
from models.common.program import finish
from models.studies.kept import Kept, Study, chosen, interval, program


def judged(options: Any, method: str, data: Canvases) -> Callable[[int], tuple[Any, float]]:
    """What trains by a method from the first weights of a seed, then counts and bounds."""
    air = program(options, "attend_infer_repeat")
    if options.backend == "pyro":

        def alone(seed: int) -> tuple[Any, float]:
            asked = Namespace(method=method, steps=options.steps, seed=seed, quiet=True)
            return air.judge(*air.train(asked, data.train), data.test)

        return alone
    import jax
    import numpyro
    from numpyro.infer import SVI

    elbo = air.METHODS[method]()

    # One compiled function for all seeds: compilation takes longer than training.
    @jax.jit
    def compiled(seed: jax.Array, train: jax.Array, test: jax.Array) -> Any:
        model, guide = air.programs(seed)
        ready = guide if method == "host" else elbo.prepare(guide)
        svi = SVI(model, ready, numpyro.optim.Adam(1e-3), elbo)
        first = svi.init(jax.random.key(seed), train)
        step = lambda _, state: svi.update(state, train)[0]  # noqa: E731
        state = jax.lax.fori_loop(0, options.steps, step, first)
        return air.judge(seed, model, guide, svi.get_params(state), test)

    def one(seed: int) -> tuple[Any, float]:
        counts, bound = compiled(seed, data.train, data.test)
        return counts, float(bound)

    return one


def measure(one: Callable[[int], tuple[Any, float]], seed: int, data: Canvases) -> dict[str, Any]:
    """How often a draw has the right number of digits, and the bound of a canvas."""
    counts, bound = one(seed)
    return {"counted_right": (np.asarray(counts) == data.test_counts).mean(), "bound": bound}


def run(options: Any, keep: Kept, command: str) -> None:
    """Measure what is not kept yet, and write the pictures and the numbers."""
    data, known = load_canvases(), program(options, "attend_infer_repeat").METHODS
    found: dict[str, Any] = {}
    lines = [f"{'method':<10}{'counted right':>18}{'bound':>20}"]
    for method in chosen("--method", options.method, list(known)):
        one = judged(options, method, data)
        runs = [
            keep(f"{method} {seed}", partial(measure, one, seed, data)) for seed in options.seeds
        ]
        names = ("counted_right", "bound")
        row = {name: interval([run[name] for run in runs]) for name in names}
        found[method] = {"runs": runs} | {
            name: {"mean": mean, "half_width": half} for name, (mean, half) in row.items()
        }
        pairs = (f"{mean:.3f} ± {half or 0.0:.3f}" for mean, half in row.values())
        lines.append(f"{method:<10}" + "".join(f"{pair:>20}" for pair in pairs))
    finish(options, command, {"steps": options.steps, "methods": found}, {}, lines)


main = Study("attend_infer_repeat", __doc__, run, needs=("sklearn",))
main.add("--method", nargs="+", default=["all"], metavar="NAME", help="methods of the program")
main.add("--seeds", nargs="+", type=seed_int, default=[0, 1, 2], metavar="SEED", help="of the runs")
main.add("--steps", type=positive_int, default=600, help="of each run")

if __name__ == "__main__":
    sys.exit(main())
