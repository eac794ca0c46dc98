"""One step of each NumPyro ELBO on a linear sigmoid belief network, against TraceGraph_ELBO's.

Run by hand, on one thread: ``python -m tests.benchmarks.bench_elbo_numpyro``. The network is
784-200-784 with a uniform prior, batch 100, Adam, jitted; beside each ELBO stands the same
estimator written by hand in JAX (``reference_sbn_jax``). Times are the processor's, of one thread,
and the steps take turns, so that a busy machine slows them little and alike; a ratio is that of two
neighbours in time: median, least and largest over the turns. Compile time is the less of two. Peak
memory is that of one compiled step: arguments, results and scratch together
(``compiled.memory_analysis()``); the scratch alone stands beside it. ``--gradient`` times the loss
and its gradient without the optimiser.
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

# Each with the estimator of reference_sbn_jax that is its twin, and the bar on its ratio.
ELBOS: dict[str, tuple[Callable[[], Any], str | None, float | None]] = {
    "TraceGraph": (TraceGraph_ELBO, None, None),
    "score": (rx.ScoreFunction_ELBO, "score", None),
    "DisARM": (rx.DisARM_ELBO, "disarm", None),
    "REBAR fixed": (lambda: rx.REBAR_ELBO(learn=False), "rebar-fixed", 2.2),
    "REBAR learned": (rx.REBAR_ELBO, "rebar", 3.2),
    "REBAR learned, every 4": (lambda: rx.REBAR_ELBO(variance_every=4), None, 2.4),
    "REBAR learned, tenth": (lambda: rx.REBAR_ELBO(variance_fraction=0.1), None, 2.4),
    "REBAR learned, uncoupled": (lambda: rx.REBAR_ELBO(coupled=False), None, None),
    "RELAX": (rx.RELAX_ELBO, "relax", 3.4),
    "TraceGraph, 4 particles": (lambda: TraceGraph_ELBO(num_particles=4), None, None),
    "RLOO-4": (lambda: rx.RLOO_ELBO(num_particles=4), "rloo", None),
}
BARRED = [name for name, (_, _, bar) in ELBOS.items() if bar is not None]


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


def svi_step(elbo: Any, batch: Any, gradient: bool) -> tuple[Callable[..., Any], Any]:
    """Returns a step of stock SVI on a batch, or the loss's gradient alone, and its first state."""
    prepared = elbo.prepare(guide) if hasattr(elbo, "prepare") else guide
    svi = SVI(model, prepared, numpyro.optim.Adam(1e-3), elbo)
    start = reference.initial_params(0, "score")
    state = svi.init(jax.random.key(0), batch, init_params=start)
    if not gradient:
        return lambda state, inputs: svi.update(state, inputs[1]), state

    def only(params: Any, inputs: Any) -> Any:
        key, x = inputs
        loss, grads = jax.value_and_grad(lambda p: elbo.loss(key, p, model, prepared, x))(params)
        # The smallest step there is: what is not used would not be computed.
        return jax.tree.map(lambda p, g: p - 1e-9 * g, params, grads), loss

    return only, svi.get_params(state)


def compiled(step: Callable[..., Any], state: Any, inputs: Any) -> Any:
    """Returns a function that takes ten steps, the seconds to compile one, and its memory."""
    rows = [jax.tree.map(lambda x, i=i: x[i], inputs) for i in range(10)]
    seconds = []
    for _ in range(2):
        begin = time.process_time()
        run = jax.jit(lambda *given: step(*given)).lower(state, rows[0]).compile()
        seconds.append(time.process_time() - begin)
    memory = run.memory_analysis()
    scratch = memory.temp_size_in_bytes
    peak = scratch + memory.argument_size_in_bytes + memory.output_size_in_bytes

    def ten() -> None:
        after = state
        for row in rows:
            after = run(after, row)[0]
        jax.block_until_ready(after)

    return ten, min(seconds), peak, scratch


def main() -> None:
    """Print a table of times relative to TraceGraph_ELBO's."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--turns", type=int, default=25)
    parser.add_argument("--only", nargs="+", choices=ELBOS, help="instead of those with a bar")
    parser.add_argument("--gradient", action="store_true", help="without the optimiser")
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    images = jnp.asarray(rng.random((10, BATCH, PIXELS)) < 0.2, jnp.float32)
    inputs = jax.random.split(jax.random.key(1), 10), images
    runs: dict[str, Any] = {}
    # The first compilation of a process pays for more than itself.
    compiled(*svi_step(TraceGraph_ELBO(), images[0], options.gradient), inputs)
    for name in dict.fromkeys(["TraceGraph", *(options.only or BARRED)]):
        make, twin, _ = ELBOS[name]
        step, state = svi_step(make(), images[0], options.gradient)
        runs[name] = compiled(step, state, inputs)
        if twin is not None and not options.gradient:
            step = reference.make_step(None, twin, exact_kl=False)
            state = reference.initial_state(reference.initial_params(0, twin))
            runs[f"{name} by hand"] = compiled(step, state, inputs)
    times: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(options.turns + 1):
        for name, (run, *_) in runs.items():
            begin = time.process_time()
            run()
            times[name].append((time.process_time() - begin) / 10)
    table = {name: np.array(t[1:]) for name, t in times.items()}
    base, (_, base_compile, base_peak, base_scratch) = table["TraceGraph"], runs["TraceGraph"]
    print(
        f"{'':33s} {'ms':>6s} {'ratio':>6s} {'least':>6s} {'most':>6s} {'bar':>4s} {'by hand':>8s} "
        f"{'compile':>8s} {'peak':>5s} {'scratch':>8s}"
    )
    for name, t in table.items():
        _, seconds, peak, scratch = runs[name]
        ratio, hand = t / base, table.get(f"{name} by hand")
        bar = ELBOS[name][2] if name in ELBOS else None
        print(
            f"{name:33s} {1e3 * np.median(t):6.2f} {np.median(ratio):6.2f} {ratio.min():6.2f} "
            f"{ratio.max():6.2f} {'' if bar is None else bar:>4} "
            f"{'' if hand is None else format(np.median(t / hand), '.2f'):>8s} "
            f"{seconds / base_compile:8.2f} {peak / base_peak:5.2f} {scratch / base_scratch:8.2f}"
        )


if __name__ == "__main__":
    main()
