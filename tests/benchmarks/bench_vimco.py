"""VIMCO against leave-one-out at equal evaluations, and beside TensorFlow Probability's.

A linear sigmoid belief network 64-50-64 with a uniform prior on NumPyro, the digits of scikit-learn
(8 by 8 pixels, binary; 1,437 for training and 360 held out), batch 100, Adam at 0.003.
``VIMCO_ELBO`` and ``RLOO_ELBO`` have the same number of draws K, and so of evaluations; what is
reported of either is the importance-weighted bound of 1,000 draws on the held-out images, in nats
an image.

    python -m tests.benchmarks.bench_vimco --keep runs.json --picture vimco.png --write
    python -m tests.benchmarks.bench_vimco --tfp-python PYTHON --keep runs.json

The second takes 1,000 steps of ten draws with ``tfp.vi.csiszar_vimco`` in the Python of another
environment, whose JAX TensorFlow Probability runs on, and evaluates here what comes of it.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import tempfile
import time
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
import numpyro.distributions as dist
from numpyro.infer import SVI
from numpyro.optim import Adam
from sklearn.datasets import load_digits

import relaxppl.numpyro as rx
from models.common.figures import new_figure
from tests.benchmarks import table
from tests.benchmarks.bench_debias import T95, cell

LATENTS, BATCH, CHUNK, HELD_OUT, DRAWS, RATE = 50, 100, 500, 360, 1_000, 3e-3
CHECKPOINTS = (500, 1_000, 2_000, 3_000)
COUNTS, PEER_COUNT, PEER_STEPS = (5, 10, 50), 10, 1_000
ELBOS = {"VIMCO": rx.VIMCO_ELBO, "RLOO": rx.RLOO_ELBO}
TFP = "tfp.vi.csiszar_vimco"


def images() -> tuple[np.ndarray, np.ndarray]:
    """The images for training and those held out."""
    all_images = (load_digits().data > 7.5).astype(np.float32)
    order = np.random.default_rng(0).permutation(len(all_images))
    return all_images[order[HELD_OUT:]], all_images[order[:HELD_OUT]]


def initial(seed: int, pixels: int) -> dict[str, np.ndarray]:
    """Glorot-uniform weights and zero biases."""
    rng, bound = np.random.default_rng(seed), np.sqrt(6.0 / (pixels + LATENTS))
    return {
        "W": rng.uniform(-bound, bound, (pixels, LATENTS)).astype(np.float32),
        "w": np.zeros(LATENTS, np.float32),
        "V": rng.uniform(-bound, bound, (LATENTS, pixels)).astype(np.float32),
        "v": np.zeros(pixels, np.float32),
    }


def model(x: Any) -> None:
    """b uniform, x ~ Bernoulli(logits = b V + v)."""
    weight = numpyro.param("V", jnp.zeros((LATENTS, x.shape[-1])))
    bias = numpyro.param("v", jnp.zeros(x.shape[-1]))
    with numpyro.plate("batch", len(x)):
        b = numpyro.sample("b", dist.Bernoulli(logits=jnp.zeros(LATENTS)).to_event(1))
        logits = b @ weight + bias
        numpyro.sample("x", dist.Bernoulli(logits=logits).to_event(1), obs=x)


def guide(x: Any) -> None:
    """b ~ Bernoulli(logits = x W + w)."""
    weight = numpyro.param("W", jnp.zeros((x.shape[-1], LATENTS)))
    bias = numpyro.param("w", jnp.zeros(LATENTS))
    with numpyro.plate("batch", len(x)):
        numpyro.sample("b", dist.Bernoulli(logits=x @ weight + bias).to_event(1))


def held_out_bound(params: Any, data: Any) -> float:
    """The importance-weighted bound of many draws, averaged over images."""

    def one(key: Any, x: Any) -> Any:
        a = x @ params["W"] + params["w"]
        b = (jax.random.logistic(key, (DRAWS, *a.shape)) + a > 0).astype(jnp.float32)
        pixels = dist.Bernoulli(logits=b @ params["V"] + params["v"]).log_prob(x).sum(-1)
        log_w = pixels - LATENTS * jnp.log(2.0) - dist.Bernoulli(logits=a).log_prob(b).sum(-1)
        return jax.nn.logsumexp(log_w) - jnp.log(DRAWS)

    keys = jax.random.split(jax.random.key(99), len(data))
    return float(jnp.mean(jax.jit(lambda k, x: jax.lax.map(lambda g: one(*g), (k, x)))(keys, data)))


def train(row: str, count: int, seed: int, steps: int) -> dict[str, float]:
    """The held-out bound at each checkpoint, and the seconds of a step."""
    train_images, held_out = map(jnp.asarray, images())
    elbo = ELBOS[row](num_particles=count)
    first = initial(seed, train_images.shape[-1])
    svi = SVI(model, guide, Adam(RATE), elbo)
    state = svi.init(jax.random.key(seed), train_images[:BATCH], init_params=first)

    def step(state: Any, key: Any) -> Any:
        rows = jax.random.choice(key, len(train_images), (BATCH,), replace=False)
        return svi.update(state, train_images[rows])

    chunk = jax.jit(lambda state, keys: jax.lax.scan(step, state, keys))
    draw = jax.vmap(partial(jax.random.fold_in, jax.random.key(seed + 1)))
    found, times = {}, []
    for done in range(CHUNK, steps + 1, CHUNK):
        begin = time.process_time()
        state, _ = jax.block_until_ready(chunk(state, draw(jnp.arange(done - CHUNK, done))))
        times.append((time.process_time() - begin) / CHUNK)
        if done in CHECKPOINTS:
            found[str(done)] = held_out_bound(svi.get_params(state), held_out)
    return {**found, "seconds": float(np.median(times[1:]))}


def peer(python: str, count: int, seed: int, steps: int) -> dict[str, float]:
    """The same of TensorFlow Probability's estimator, which trains in a process of its own."""
    train_images, held_out = images()
    first = initial(seed, train_images.shape[-1])
    with tempfile.TemporaryDirectory() as folder:
        given, left = Path(folder, "given.npz"), Path(folder, "left.npz")
        np.savez(given, images=train_images, **first)
        script = Path(__file__).with_name("vimco_tfp.py")
        numbers = map(str, (count, seed, steps, BATCH, RATE))
        subprocess.run([python, script, given, left, *numbers], check=True)
        with np.load(left) as file:
            params = {n: jnp.asarray(file[n]) for n in first}
            seconds = float(file["seconds"])
    return {str(steps): held_out_bound(params, jnp.asarray(held_out)), "seconds": seconds}


def draw(path: Path, kept: Any, steps: list[str], seeds: int) -> None:
    """The bounds against steps, with their 95 % intervals over seeds."""
    figure = new_figure(9.5, 3.4)
    for axis, count in zip(figure.subplots(1, len(COUNTS), sharey=True), COUNTS, strict=True):
        for row in ELBOS:
            runs = [kept[f"{row} | {count} | {seed}"] for seed in range(seeds)]
            bounds = np.array([[run[c] for c in steps] for run in runs])
            half = T95[seeds] * bounds.std(0, ddof=1) / np.sqrt(seeds) if seeds > 1 else 0.0
            axis.errorbar(list(map(int, steps)), bounds.mean(0), half, marker="o", ms=3, label=row)
        axis.set_title(f"K = {count}")
        axis.set_xlabel("step")
    figure.axes[0].set_ylabel("bound of 1,000 draws, held out, nats")
    figure.axes[0].legend(frameon=False)
    figure.savefig(path, dpi=130)


def main() -> None:
    """Train what is not kept, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, choices=CHECKPOINTS, default=3_000)
    parser.add_argument("--seeds", type=int, choices=range(1, 6), default=3)
    parser.add_argument("--tfp-python", help="a Python that has TensorFlow Probability")
    parser.add_argument("--keep", type=Path, help="a file of the runs that are done")
    parser.add_argument("--picture", type=Path, help="a file for the curves")
    parser.add_argument("--write", action="store_true", help="keep the table")
    options = parser.parse_args()
    kept = json.loads(options.keep.read_text()) if options.keep and options.keep.exists() else {}
    rows = [TFP] if options.tfp_python else list(ELBOS)
    for seed in range(options.seeds):
        for count in (PEER_COUNT,) if options.tfp_python else COUNTS:
            for row in rows:
                run = f"{row} | {count} | {seed}"
                wanted = PEER_STEPS if row == TFP else options.steps
                if str(wanted) in kept.get(run, {}):
                    continue
                if row == TFP:
                    kept[run] = peer(options.tfp_python, count, seed, PEER_STEPS)
                else:
                    kept[run] = train(row, count, seed, options.steps)
                print(run, kept[run], flush=True)
                if options.keep:
                    options.keep.write_text(json.dumps(kept))
    wanted = [str(c) for c in CHECKPOINTS if c <= options.steps]
    lines = []
    for count in COUNTS:
        for row in (*ELBOS, TFP):
            runs = [kept.get(f"{row} | {count} | {seed}") for seed in range(options.seeds)]
            if None in runs:
                continue
            cells = [cell([r[c] for r in runs]) if c in runs[0] else None for c in wanted]
            seconds = f"{1e3 * np.median([r['seconds'] for r in runs]):.1f}"
            lines.append([count, row, *cells, seconds])
    header = ["K", "gradient", *(f"{int(c):,} steps" for c in wanted), "ms a step"]
    text = table.markdown(header, lines)
    print(text)
    if options.picture:
        draw(options.picture, kept, wanted, options.seeds)
    if options.write:
        table.write("vimco", text)


if __name__ == "__main__":
    main()
