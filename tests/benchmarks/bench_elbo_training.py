"""Long runs of the linear sigmoid belief network 784-200-784, by hand.

``numerics``: 10,000 steps from weights so large that logits reach +-60, at temperatures from 0.05
to 10, fixed and learned; every loss and every parameter has to stay finite.

    python -m tests.benchmarks.bench_elbo_training numerics --backend numpyro

``bound``: what learned REBAR loses when its temperature learns on some steps only: the training
bound after 2,000 steps, by seed (NumPyro).

    python -m tests.benchmarks.bench_elbo_training bound
"""

from __future__ import annotations

import argparse
import os
import time
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from tests.benchmarks import reference_sbn_jax as reference
from tests.benchmarks import table

BATCH, CHUNK = 100, 500
CHEAP: dict[str, dict[str, Any]] = {
    "every step": {},
    "every 4th step": {"variance_every": 4},
}
RUNS: list[tuple[str, dict[str, Any]]] = [
    ("REBAR_ELBO", {"temperature": 0.05, "learn": True}),
    ("REBAR_ELBO", {"temperature": 10.0, "learn": True}),
    ("REBAR_ELBO", {"temperature": 0.05, "learn": False}),
    ("REBAR_ELBO", {"temperature": 10.0, "learn": False}),
    ("RELAX_ELBO", {"temperature": 0.05}),
    ("DisARM_ELBO", {}),
]


def large_weights(images: np.ndarray) -> dict[str, np.ndarray]:
    """Initial parameters whose logits reach +-60 in the guide and in the model."""
    params = {n: np.array(p) for n, p in reference.initial_params(0, "score").items()}
    params["W"] *= 60.0 / np.abs(images @ params["W"]).max()
    codes = (images @ params["W"] > 0).astype("f4")
    params["V"] *= 60.0 / np.abs(codes @ params["V"]).max()
    return params


def numpyro_run(elbo: Any, images: Any, params: Any, steps: int, seed: int = 0) -> Any:
    """Yields the losses of each chunk of steps and the parameters after it."""
    import jax
    import jax.numpy as jnp
    import numpyro

    from tests.benchmarks.bench_elbo_numpyro import guide, model

    images = jnp.asarray(images)
    svi = numpyro.infer.SVI(model, elbo.prepare(guide), numpyro.optim.Adam(1e-3), elbo)
    params = {name: jnp.asarray(value, jnp.float32) for name, value in params.items()}
    state = svi.init(jax.random.key(seed), images[:BATCH], init_params=params)

    def step(state: Any, key: Any) -> Any:
        rows = jax.random.choice(key, len(images), (BATCH,), replace=False)
        return svi.update(state, images[rows])

    chunk = jax.jit(lambda state, keys: jax.lax.scan(step, state, keys))
    for keys in jax.random.split(jax.random.key(seed + 1), steps).reshape(-1, CHUNK):
        state, losses = chunk(state, keys)
        yield np.asarray(losses), {n: np.asarray(p) for n, p in svi.get_params(state).items()}


def pyro_run(elbo: Any, images: Any, params: Any, steps: int) -> Any:
    """As :func:`numpyro_run`."""
    import pyro
    import torch

    from tests.benchmarks.bench_elbo_pyro import Network

    torch.set_num_threads(1)
    pyro.clear_param_store()
    pyro.set_rng_seed(0)
    network, data = Network(), torch.as_tensor(images)
    with torch.no_grad():
        network.encoder.weight.copy_(torch.as_tensor(params["W"]).T)
        network.decoder.weight.copy_(torch.as_tensor(params["V"]).T)
    guide = elbo.prepare(network.guide)
    svi = pyro.infer.SVI(network.model, guide, pyro.optim.Adam({"lr": 1e-3}), loss=elbo)
    for _ in range(steps // CHUNK):
        losses = [svi.step(data[torch.randint(len(data), (BATCH,))]) for _ in range(CHUNK)]
        store = pyro.get_param_store()
        found = {name: store[name].detach().numpy() for name in store}
        yield np.array(losses), found


def numerics(backend: str, steps: int, only: list[int]) -> None:
    """Print for each run whether everything stayed finite."""
    images = reference.load_images()
    params = large_weights(images)
    if backend == "numpyro":
        import relaxppl.numpyro as rx
    else:
        import relaxppl.pyro as rx  # type: ignore[no-redef]
    run = numpyro_run if backend == "numpyro" else pyro_run
    for name, options in (RUNS[i] for i in only):
        elbo, begin, finite = getattr(rx, name)(**options), time.perf_counter(), True
        first = None
        for losses, found in run(elbo, images, params, steps):
            first = losses[0] if first is None else first
            finite = finite and bool(np.isfinite(losses).all())
            finite = finite and all(bool(np.isfinite(p).all()) for p in found.values())
        own = {
            n: round(float(p), 3) for n, p in found.items() if n.endswith(("temperature", "eta"))
        }
        print(
            f"{backend} {name} {options}: {steps} steps, finite {finite}, loss per image "
            f"{first / BATCH:.1f} -> {losses[-100:].mean() / BATCH:.1f}, {own}, "
            f"{time.perf_counter() - begin:.0f} s",
            flush=True,
        )


def bound(steps: int, seeds: int) -> str:
    """The training bound by option, over seeds, and what is learned with the last."""
    import jax

    import relaxppl.numpyro as rx

    images, rows = reference.load_images(), []
    for name, options in CHEAP.items():
        found = []
        for seed in range(seeds):
            elbo = rx.REBAR_ELBO(temperature=0.1, exact_kl=True, **options)
            start = reference.initial_params(seed, "score")
            *_, (_, params) = numpyro_run(elbo, images, start, steps, seed)
            found.append(reference.full_bound(params, images, jax.random.key(99)))
        own = [f"{float(params[f'b.estimator.{n}']):.3f}" for n in ("temperature", "eta")]
        rows.append([name, *(f"{b:.2f}" for b in (np.mean(found), *found)), *own])
    each = [f"seed {seed}" for seed in range(seeds)]
    return table.markdown(["learned", "mean", *each, "temperature", "eta"], rows)


def main() -> None:
    """Run one of the two."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["numerics", "bound"], nargs="?", default="bound")
    parser.add_argument("--backend", choices=["numpyro", "pyro"], default="numpyro")
    parser.add_argument("--steps", type=int)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", type=int, nargs="+", default=list(range(len(RUNS))))
    parser.add_argument("--write", action="store_true", help="keep bound's table")
    options = parser.parse_args()
    if options.what == "numerics":
        numerics(options.backend, options.steps or 10_000, options.only)
    else:
        text = bound(options.steps or 2_000, options.seeds)
        print(text)
        if options.write:
            table.write("elbo_training", text)


if __name__ == "__main__":
    main()
