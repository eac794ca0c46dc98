"""Gradients that start biased and end unbiased, and the three forms of the KL, over seeds.

The linear sigmoid belief network 784-200-784 of ``models.numpyro.sigmoid_belief_network``, 5,000
images, batch 100, Adam at 0.001, from that program's first weights. Every bound is that of the
discrete model under the discrete guide, in nats per training image, by ten draws.

    python -m tests.benchmarks.bench_debias kl
    python -m tests.benchmarks.bench_debias ramp --steps 30000

``--keep FILE`` holds the runs that are done, so that a table can be made in several sittings,
and ``--picture FILE`` draws them against steps and against seconds.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault(
    "XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
)

import jax
import jax.numpy as jnp
import numpy as np
import numpyro

import relaxppl.numpyro as rx
from models.common.figures import new_figure
from models.common.networks import belief_weights
from tests.benchmarks import bench_elbo_numpyro, table
from tests.benchmarks import reference_sbn_jax as reference

BATCH, CHUNK, RAMP = 100, 500, 20_000
CHECKPOINTS = (500, 2_000, 8_000, 16_000, 30_000)
HOST = "straight-through"
OWN = "TraceGraph_ELBO"
"""NumPyro's own loss for discrete sites: a score function without a baseline."""
REBAR = partial(rx.REBAR_ELBO, temperature=0.1)
ELBOS: dict[str, Callable[..., Any]] = {
    HOST: rx.ScoreFunction_ELBO,
    "REBAR": REBAR,
    "REBAR, w = 0": partial(REBAR, debias=0.0),
    f"REBAR, w = step / {RAMP:,}": partial(REBAR, debias=rx.LinearSchedule(0.0, 1.0, RAMP)),
    "DisARM": rx.DisARM_ELBO,
    OWN: lambda exact_kl: numpyro.infer.TraceGraph_ELBO(),
}
KL: dict[str, Any] = {"sampled": False, "exact": True, "learned": "learned"}
ROWS = {
    "kl": [(elbo, kl) for elbo in ("REBAR", "DisARM") for kl in KL],
    "ramp": [(elbo, "exact" if elbo == HOST else "sampled") for elbo in ELBOS if elbo != "DisARM"],
}
T95 = {2: 12.706, 3: 4.303, 4: 3.182, 5: 2.776}
"""The quantile of Student's t for a mean of so many seeds."""


def relaxed(program: Any) -> Any:
    """The program with straight-through codes."""
    config = {"b": rx.RelaxedBernoulliStraightThrough}
    return rx.relax(program, temperature=0.5, config=config)


def initial(seed: int, images: np.ndarray) -> dict[str, Any]:
    """The first weights of the program in models, by the names of the benchmarks."""
    weights = belief_weights(seed, images, 1, 200)
    names = {"W": "infer1.w", "w": "infer1.b", "V": "generate1.w", "v": "generate1.b"}
    return {name: jnp.asarray(weights[known], jnp.float32) for name, known in names.items()}


def begin(row: str, kl: str, seed: int, images: np.ndarray) -> tuple[Any, Any, Any]:
    """SVI, its state, and a function that takes as many steps as it is given keys."""
    elbo = ELBOS[row](exact_kl=KL[kl])
    model, guide = bench_elbo_numpyro.model, bench_elbo_numpyro.guide
    if row == HOST:
        model, guide = relaxed(model), relaxed(guide)
    if row != OWN:
        guide = elbo.prepare(guide)
    optimiser = rx.count_steps(numpyro.optim.Adam(1e-3))
    svi = numpyro.infer.SVI(model, guide, optimiser, elbo)
    data = jnp.asarray(images)
    state = svi.init(jax.random.key(seed), data[:BATCH], init_params=initial(seed, images))

    def step(state: Any, key: Any) -> Any:
        rows = jax.random.choice(key, len(data), (BATCH,), replace=False)
        return svi.update(state, data[rows])

    return svi, state, jax.jit(lambda state, keys: jax.lax.scan(step, state, keys))


def train(row: str, kl: str, seed: int, images: np.ndarray, steps: int) -> dict[str, float]:
    """The bound at each checkpoint."""
    svi, state, chunk = begin(row, kl, seed, images)
    data = jnp.asarray(images)
    # A longer run begins as a shorter one does.
    draw = jax.vmap(partial(jax.random.fold_in, jax.random.key(seed + 1)))
    found = {}
    for done in range(CHUNK, steps + 1, CHUNK):
        state, _ = chunk(state, draw(jnp.arange(done - CHUNK, done)))
        if done in CHECKPOINTS:
            params = svi.get_params(state)
            found[str(done)] = reference.full_bound(params, data, jax.random.key(99))
    return found


def cell(bounds: list[float]) -> str:
    """The mean over seeds and the half width of its 95 % interval."""
    if len(bounds) < 2:
        return f"{bounds[0]:.2f}"
    half = T95[len(bounds)] * np.std(bounds, ddof=1) / np.sqrt(len(bounds))
    return f"{np.mean(bounds):.2f} ± {half:.2f}"


def measure(rows: list[tuple[str, str]], steps: int, seeds: int, keep: Path | None) -> str:
    """The table of some rows; runs that are kept are not run again."""
    images = reference.load_images()
    kept = json.loads(keep.read_text()) if keep and keep.exists() else {}
    wanted = [str(c) for c in CHECKPOINTS if c <= steps]
    for seed in range(seeds):
        for row, kl in rows:
            run = f"{row} | {kl} | {seed}"
            if set(wanted) <= kept.get(run, {}).keys():
                continue
            begin = time.perf_counter()
            kept[run] = train(row, kl, seed, images, steps)
            print(run, kept[run], f"{time.perf_counter() - begin:.0f} s", flush=True)
            if keep:
                keep.write_text(json.dumps(kept))
    lines = []
    for row, kl in rows:
        runs = [kept[f"{row} | {kl} | {seed}"] for seed in range(seeds)]
        each = [f"{run[wanted[-1]]:.2f}" for run in runs]
        lines.append([row, kl, *(cell([run[c] for run in runs]) for c in wanted), ", ".join(each)])
    header = ["gradient", "KL", *(f"{int(c):,} steps" for c in wanted), "the last by seed"]
    return table.markdown(header, lines)


def step_seconds(rows: list[tuple[str, str]], images: np.ndarray, turns: int = 9) -> list[float]:
    """The median time of a step of each row, which take turns of 50 steps."""
    runs = [begin(row, kl, 0, images)[1:] for row, kl in rows]
    keys = jax.random.split(jax.random.key(0), 50)
    found: list[list[float]] = [[] for _ in rows]
    for turn in range(turns + 1):
        for (state, chunk), seconds in zip(runs, found, strict=True):
            start = time.perf_counter()
            jax.block_until_ready(chunk(state, keys))
            # The first turn compiles.
            if turn:
                seconds.append((time.perf_counter() - start) / len(keys))
    return [float(np.median(seconds)) for seconds in found]


def draw(path: Path, rows: list[tuple[str, str]], steps: int, seeds: int, kept: Any) -> None:
    """The bound against steps and against seconds, with its 95 % interval over seeds."""
    wanted = np.array([c for c in CHECKPOINTS if c <= steps])
    times = step_seconds(rows, reference.load_images())
    figure = new_figure(9.5, 3.8)
    axes = figure.subplots(1, 2, sharey=True)
    for (row, kl), second in zip(rows, times, strict=True):
        runs = [kept[f"{row} | {kl} | {seed}"] for seed in range(seeds)]
        bounds = np.array([[run[str(c)] for c in wanted] for run in runs])
        mean = bounds.mean(0)
        for axis, unit in zip(axes, (1.0, second), strict=True):
            (line,) = axis.plot(wanted * unit, mean, "o-", ms=3, label=row)
            if seeds > 1:
                half = T95[seeds] * bounds.std(0, ddof=1) / np.sqrt(seeds)
                colour = line.get_color()
                axis.fill_between(wanted * unit, mean - half, mean + half, color=colour, alpha=0.2)
    for axis, label in zip(axes, ("step", "seconds of one core"), strict=True):
        axis.set_xscale("log")
        axis.set_xlabel(label)
    axes[0].set_ylabel("bound of the discrete model, nats an image")
    axes[0].legend(frameon=False, fontsize=8)
    figure.savefig(path, dpi=130)


def main() -> None:
    """Train what is asked for and print its table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=list(ROWS), nargs="?", help="left out: both tables")
    parser.add_argument("--steps", type=int, choices=CHECKPOINTS, default=2_000)
    parser.add_argument("--seeds", type=int, choices=range(1, 6), default=3)
    parser.add_argument("--only", nargs="+", choices=list(ELBOS), default=list(ELBOS))
    parser.add_argument("--keep", type=Path, help="a file of the runs that are done")
    parser.add_argument("--picture", type=Path, help="a file for the curves; needs --keep")
    parser.add_argument("--write", action="store_true", help="keep the table")
    options = parser.parse_args()
    for what in [options.what] if options.what else ROWS:
        rows = [(elbo, kl) for elbo, kl in ROWS[what] if elbo in options.only]
        text = measure(rows, options.steps, options.seeds, options.keep)
        print(text)
        if options.write:
            table.write(f"debias_{what}_{options.steps}", text)
        if options.picture:
            kept = json.loads(options.keep.read_text())
            draw(options.picture, rows, options.steps, options.seeds, kept)


if __name__ == "__main__":
    main()
