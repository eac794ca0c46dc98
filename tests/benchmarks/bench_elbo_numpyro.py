"""One step of each NumPyro ELBO on a linear sigmoid belief network, against TraceGraph_ELBO's.

Run by hand, on one thread: ``python -m tests.benchmarks.bench_elbo_numpyro``. The network is
784-200-784 with a uniform prior, batch 100, Adam, jitted; beside each ELBO stands the same
estimator written by hand in JAX (``reference_sbn_jax``). The steps take turns, so that a busy
machine slows them alike; the figure is the median over turns of the time relative to TraceGraph's
in that turn.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault(
    "XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
)

import argparse
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from numpyro.infer import SVI, TraceGraph_ELBO

import relaxppl.numpyro as rx
from tests.benchmarks import reference_sbn_jax as reference

PIXELS, LATENTS, BATCH = reference.PIXELS, reference.LATENTS, 100

ELBOS: dict[str, tuple[Callable[[], Any], str | None]] = {
    "TraceGraph": (TraceGraph_ELBO, None),
    "score": (rx.ScoreFunction_ELBO, "score"),
    "average": (lambda: rx.ScoreFunction_ELBO(baseline="average"), "score-average"),
    "RLOO-4": (lambda: rx.RLOO_ELBO(num_particles=4), "rloo"),
    "DisARM": (rx.DisARM_ELBO, "disarm"),
    "REBAR fixed": (lambda: rx.REBAR_ELBO(learn=False), "rebar-fixed"),
    "REBAR fixed, uncoupled": (lambda: rx.REBAR_ELBO(learn=False, coupled=False), None),
    "REBAR learned": (rx.REBAR_ELBO, "rebar"),
    "REBAR learned, uncoupled": (lambda: rx.REBAR_ELBO(coupled=False), None),
    "REBAR learned, every 4": (lambda: rx.REBAR_ELBO(variance_every=4), None),
    "RELAX": (rx.RELAX_ELBO, "relax"),
}


def model(x: Any) -> None:
    """b uniform, x ~ Bernoulli(logits = b V + v)."""
    weight = numpyro.param("V", jnp.zeros((LATENTS, PIXELS)))
    bias = numpyro.param("v", jnp.zeros(PIXELS))
    with numpyro.plate("batch", len(x)):
        prior = dist.Bernoulli(logits=jnp.zeros(LATENTS)).to_event(1)
        b = numpyro.sample("b", prior)
        logits = b @ weight + bias
        numpyro.sample("x", dist.Bernoulli(logits=logits).to_event(1), obs=x)


def guide(x: Any) -> None:
    """b ~ Bernoulli(logits = x W + w)."""
    weight = numpyro.param("W", jnp.zeros((PIXELS, LATENTS)))
    bias = numpyro.param("w", jnp.zeros(LATENTS))
    with numpyro.plate("batch", len(x)):
        numpyro.sample("b", dist.Bernoulli(logits=x @ weight + bias).to_event(1))


def svi_step(elbo: Any, images: Any) -> tuple[Callable[..., Any], Any]:
    """Returns a step of stock SVI on a random batch, and its first state."""
    prepared = elbo.prepare(guide) if hasattr(elbo, "prepare") else guide
    svi = SVI(model, prepared, numpyro.optim.Adam(1e-3), elbo)
    start = reference.initial_params(0, "score")
    state = svi.init(jax.random.key(0), images[:BATCH], init_params=start)

    def step(state: Any, key: Any) -> Any:
        rows = jax.random.choice(key, len(images), (BATCH,), replace=False)
        return svi.update(state, images[rows])

    return step, state


def compiled(step: Callable[..., Any], state: Any) -> tuple[Callable[[Any], Any], float, int]:
    """Returns a function that takes ten steps, the seconds to compile it, and its peak memory."""
    keys = jax.random.split(jax.random.key(1), 10)
    begin = time.perf_counter()
    run = jax.jit(lambda state: jax.lax.scan(step, state, keys)[0]).lower(state).compile()
    seconds = time.perf_counter() - begin
    return run, seconds, run.memory_analysis().temp_size_in_bytes


def main() -> None:
    """Print a table of times relative to TraceGraph_ELBO's."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--turns", type=int, default=15)
    parser.add_argument("--only", nargs="+", help="some of the estimators, beside TraceGraph")
    options = parser.parse_args()
    images = jnp.asarray(reference.load_images())
    runs: dict[str, tuple[Callable[[Any], Any], Any, float, int]] = {}
    for name, (make, twin) in ELBOS.items():
        if options.only and name not in (*options.only, "TraceGraph"):
            continue
        step, state = svi_step(make(), images)
        runs[name] = (*_with_state(compiled(step, state), state),)
        if twin is not None:
            step = reference.make_step(images, twin, exact_kl=False)
            state = reference.initial_state(reference.initial_params(0, twin))
            runs[f"{name} by hand"] = (*_with_state(compiled(step, state), state),)
    times: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(options.turns + 1):
        for name, (run, state, _, _) in runs.items():
            begin = time.perf_counter()
            jax.block_until_ready(run(state))
            times[name].append((time.perf_counter() - begin) / 10)
    table = {name: np.array(t[1:]) for name, t in times.items()}
    base, (_, _, base_compile, base_memory) = table["TraceGraph"], runs["TraceGraph"]
    print(f"{'':28s} {'ms min':>8s} {'x min':>7s} {'x med':>7s} {'compile':>8s} {'memory':>7s}")
    for name, t in table.items():
        _, _, seconds, memory = runs[name]
        print(
            f"{name:28s} {1e3 * t.min():8.2f} {t.min() / base.min():7.2f} "
            f"{np.median(t / base):7.2f} {seconds / base_compile:8.2f} {memory / base_memory:7.2f}"
        )


def _with_state(made: tuple[Any, float, int], state: Any) -> tuple[Any, Any, float, int]:
    run, seconds, memory = made
    return run, state, seconds, memory


if __name__ == "__main__":
    main()
