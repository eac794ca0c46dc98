"""Gradients that start biased and end unbiased, and the three forms of the KL, over seeds.

Sigmoid belief networks with 200 codes on 5,000 images, batch 100, Adam at 0.001: "linear" is that
of ``models.numpyro.sigmoid_belief_network`` from its first weights, "hidden" has a tanh layer of
200 units on the way up and one on the way down, "two layers" has two layers of codes and linear
maps. Every bound is that of the discrete model under the discrete guide, in nats per training
image, by ten draws.

    python -m tests.benchmarks.bench_debias kl
    python -m tests.benchmarks.bench_debias ramp --steps 30000 --network hidden

The seeds of a row train side by side. ``--keep FILE`` holds the runs that are done, so that a table
can be made in several sittings, and ``--picture FILE`` draws them against steps and against
seconds. With JAX_PLATFORMS=cuda it runs on a GPU.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault(
    "XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
)

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist

import relaxppl.numpyro as rx
from models.common.figures import new_figure
from models.common.networks import belief_weights
from tests.benchmarks import reference_sbn_jax as reference
from tests.benchmarks import table

BATCH, CHUNK, RAMP, CODES = 100, 500, 20_000, 200
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
    "REBAR, w learned": partial(REBAR, debias="auto"),
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


Row = tuple[str, str]
"""An ELBO and a form of the KL."""


class Network(NamedTuple):
    """How a network maps between images and codes."""

    layers: int = 1
    """Of codes."""
    hidden: int = 0
    """Units of a tanh layer in each map; 0 for a linear map."""

    def first(self, seed: int, images: np.ndarray) -> dict[str, Any]:
        """The first weights, by name: those of the program in models where the maps are linear."""
        weights = belief_weights(seed, images, self.layers, CODES)
        if self.hidden:
            rng = np.random.default_rng([seed, 1])
            for name, inputs in (("infer1", images.shape[1]), ("generate1", CODES)):
                for part, rows in ((f"{name}.hidden", inputs), (name, self.hidden)):
                    shape = rows, self.hidden if part != name else weights[f"{name}.b"].shape[0]
                    bound = 1.0 / np.sqrt(rows)
                    weights[f"{part}.w"] = rng.uniform(-bound, bound, shape).astype(np.float32)
                weights[f"{name}.hidden.b"] = np.zeros(self.hidden, np.float32)
        return {name: jnp.asarray(x) for name, x in weights.items()}

    def programs(self, weights: dict[str, Any]) -> tuple[Callable[[Any], None], ...]:
        """The model and the guide, whose parameters begin at some weights."""
        layers = range(1, self.layers + 1)

        def linear(name: str, x: Any) -> Any:
            w, b = (numpyro.param(f"{name}.{part}", weights[f"{name}.{part}"]) for part in "wb")
            return x @ w + b

        def mapped(name: str, x: Any) -> Any:
            return linear(name, jnp.tanh(linear(f"{name}.hidden", x)) if self.hidden else x)

        def model(images: Any) -> None:
            with numpyro.plate("batch", len(images)):
                logits = jnp.zeros(CODES)
                for k in reversed(layers):
                    law = dist.Bernoulli(logits=logits).to_event(1)
                    logits = mapped(f"generate{k}", numpyro.sample(f"code{k}", law))
                law = dist.Bernoulli(logits=logits).to_event(1)
                numpyro.sample("pixels", law, obs=images)

        def guide(images: Any) -> None:
            code = images
            with numpyro.plate("batch", len(images)):
                for k in layers:
                    law = dist.Bernoulli(logits=mapped(f"infer{k}", code)).to_event(1)
                    code = numpyro.sample(f"code{k}", law)

        return model, guide


NETWORKS = {"linear": Network(), "hidden": Network(hidden=200), "two-layers": Network(layers=2)}


class Training(NamedTuple):
    """The seeds of a row, which train side by side."""

    state: Any
    chunk: Callable[[Any, Any], Any]
    """From the states and keys (seeds, steps) to the states so many steps on."""
    bounds: Callable[[Any], Any]
    """From the states to the bound of each seed in nats an image."""


def begin(network: str, row: str, kl: str, seeds: int, images: np.ndarray) -> Training:
    """The first state of each seed, and what takes it on."""
    elbo, data = ELBOS[row](exact_kl=KL[kl]), jnp.asarray(images)
    discrete = NETWORKS[network].programs(NETWORKS[network].first(0, images))
    model, guide = discrete
    if row == HOST:
        layers = NETWORKS[network].layers
        config = {f"code{k + 1}": rx.RelaxedBernoulliStraightThrough for k in range(layers)}
        model, guide = (rx.relax(program, 0.5, config) for program in discrete)
    if row != OWN:
        guide = elbo.prepare(guide)
    svi = numpyro.infer.SVI(model, guide, rx.count_steps(numpyro.optim.Adam(1e-3)), elbo)
    own = numpyro.infer.Trace_ELBO(num_particles=10, vectorize_particles=False)

    def first(seed: int) -> Any:
        weights = NETWORKS[network].first(seed, images)
        return svi.init(jax.random.key(seed), data[:BATCH], init_params=weights)

    def batch(key: Any) -> Any:
        return jax.random.choice(key, len(data), (BATCH,), replace=False)

    def steps(state: Any, keys: Any, data: Any) -> Any:
        # A GPU sorts for all steps at once much sooner than for one after the other.
        batches = jax.vmap(batch)(keys)
        return jax.lax.scan(lambda s, rows: svi.update(s, data[rows]), state, batches)[0]

    def bound(state: Any, data: Any) -> Any:
        return -own.loss(jax.random.key(99), svi.get_params(state), *discrete, data) / len(data)

    # The images are an argument: XLA would fold what it knows.
    chunk = jax.jit(jax.vmap(steps, (0, 0, None)))
    bounds = jax.jit(lambda states, data: jax.lax.map(partial(bound, data=data), states))
    states = [first(seed) for seed in range(seeds)]
    return Training(
        jax.tree.map(lambda *x: jnp.stack(x), *states),
        lambda states, keys: chunk(states, keys, data),
        lambda states: bounds(states, data),
    )


def train(
    network: str, row: str, kl: str, seeds: int, images: np.ndarray, steps: int
) -> list[dict[str, float]]:
    """The bound at each checkpoint, by seed."""
    state, chunk, bounds = begin(network, row, kl, seeds, images)
    # A longer run begins as a shorter one does.
    draw = jax.jit(
        lambda steps: jax.vmap(
            lambda seed: jax.vmap(partial(jax.random.fold_in, jax.random.key(seed)))(steps)
        )(jnp.arange(1, seeds + 1))
    )
    found: list[dict[str, float]] = [{} for _ in range(seeds)]
    for done in range(CHUNK, steps + 1, CHUNK):
        state = chunk(state, draw(jnp.arange(done - CHUNK, done)))
        if done in CHECKPOINTS:
            for one, value in zip(found, bounds(state), strict=True):
                one[str(done)] = float(value)
    return found


def cell(bounds: list[float]) -> str:
    """The mean over seeds and the half width of its 95 % interval."""
    if len(bounds) < 2:
        return f"{bounds[0]:.2f}"
    half = T95[len(bounds)] * np.std(bounds, ddof=1) / np.sqrt(len(bounds))
    return f"{np.mean(bounds):.2f} ± {half:.2f}"


def measure(network: str, rows: list[Row], steps: int, seeds: int, keep: Path | None) -> str:
    """The table of some rows; runs that are kept are not run again."""
    images = reference.load_images()
    kept = json.loads(keep.read_text()) if keep and keep.exists() else {}
    wanted = [str(c) for c in CHECKPOINTS if c <= steps]
    for row, kl in rows:
        known = kept.get(name := f"{network} | {row} | {kl}", [])
        if len(known) >= seeds and set(wanted) <= known[0].keys():
            continue
        begin = time.perf_counter()
        kept[name] = train(network, row, kl, seeds, images, steps)
        print(name, kept[name], f"{time.perf_counter() - begin:.0f} s", flush=True)
        if keep:
            keep.write_text(json.dumps(kept))
    lines = []
    for row, kl in rows:
        runs = kept[f"{network} | {row} | {kl}"][:seeds]
        each = [f"{run[wanted[-1]]:.2f}" for run in runs]
        lines.append([row, kl, *(cell([run[c] for run in runs]) for c in wanted), ", ".join(each)])
    header = ["gradient", "KL", *(f"{int(c):,} steps" for c in wanted), "the last by seed"]
    return table.markdown(header, lines)


def step_seconds(network: str, rows: list[Row], images: np.ndarray, turns: int = 9) -> list[float]:
    """The median time of a step of each row, which take turns of 50 steps."""
    runs = [begin(network, row, kl, 1, images) for row, kl in rows]
    keys = jax.random.split(jax.random.key(0), 50)[None]
    found: list[list[float]] = [[] for _ in rows]
    for turn in range(turns + 1):
        for run, seconds in zip(runs, found, strict=True):
            start = time.perf_counter()
            jax.block_until_ready(run.chunk(run.state, keys))
            # The first turn compiles.
            if turn:
                seconds.append((time.perf_counter() - start) / keys.size)
    return [float(np.median(seconds)) for seconds in found]


def draw(
    path: Path, network: str, rows: list[Row], steps: int, seeds: int, kept: dict[str, Any]
) -> None:
    """The bound against steps and against seconds, with its 95 % interval over seeds."""
    wanted = np.array([c for c in CHECKPOINTS if c <= steps])
    times = step_seconds(network, rows, reference.load_images())
    figure = new_figure(9.5, 3.8)
    axes = figure.subplots(1, 2, sharey=True)
    for (row, kl), second in zip(rows, times, strict=True):
        runs = kept[f"{network} | {row} | {kl}"][:seeds]
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
    parser.add_argument("--network", choices=list(NETWORKS), default="linear")
    parser.add_argument("--steps", type=int, choices=CHECKPOINTS, default=2_000)
    parser.add_argument("--seeds", type=int, choices=range(1, 6), default=3)
    parser.add_argument("--only", nargs="+", choices=list(ELBOS), default=list(ELBOS))
    parser.add_argument("--keep", type=Path, help="a file of the runs that are done")
    parser.add_argument("--picture", type=Path, help="a file for the curves; needs --keep")
    parser.add_argument("--write", action="store_true", help="keep the table")
    options = parser.parse_args()
    network, steps, seeds = options.network, options.steps, options.seeds
    for what in [options.what] if options.what else ROWS:
        rows = [(elbo, kl) for elbo, kl in ROWS[what] if elbo in options.only]
        text = measure(network, rows, steps, seeds, options.keep)
        print(text)
        if options.write:
            of_network = "" if network == "linear" else f"_{network.replace('-', '_')}"
            table.write(f"debias_{what}{of_network}_{steps}", text)
        if options.picture:
            draw(options.picture, network, rows, steps, seeds, json.loads(options.keep.read_text()))


if __name__ == "__main__":
    main()
