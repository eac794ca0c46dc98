"""One step of each NumPyro ELBO on a linear sigmoid belief network, against TraceGraph_ELBO's.

Run by hand, on one thread: ``python -m tests.benchmarks.bench_elbo_numpyro``. The network is
784-200-784 with a uniform prior, batch 100, Adam, jitted; beside an ELBO stands the same estimator
written by hand in JAX (``reference_sbn_jax``). Times are the processor's, of ten steps each, in
turns; a ratio is that of two neighbours in time: median, least and largest over the turns. Compile
time is the less of two. Peak memory is that of one compiled step: arguments, results and scratch
together (``compiled.memory_analysis()``). ``--gradient`` times the loss and its gradient without
the optimiser.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("JAX_PLATFORMS", "cpu")  # The clock is the processor's.
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
from tests.benchmarks import table, turns

PIXELS, LATENTS, BATCH, STEPS = reference.PIXELS, reference.LATENTS, 100, 10

# Each with the estimator of reference_sbn_jax that is its twin. With one site the host's own is the
# score function.
ELBOS: dict[str, tuple[Callable[[], Any], str | None]] = {
    "TraceGraph": (TraceGraph_ELBO, "score"),
    "score": (rx.ScoreFunction_ELBO, "score"),
    "RLOO-4": (lambda: rx.RLOO_ELBO(num_particles=4), "rloo"),
    "VIMCO-10": (lambda: rx.VIMCO_ELBO(num_particles=10), "vimco"),
    "DisARM": (rx.DisARM_ELBO, "disarm"),
    "REBAR fixed": (lambda: rx.REBAR_ELBO(learn=False), "rebar-fixed"),
    "REBAR learned": (rx.REBAR_ELBO, "rebar"),
    "REBAR learned, every 4": (lambda: rx.REBAR_ELBO(variance_every=4), None),
    "REBAR learned, uncoupled": (lambda: rx.REBAR_ELBO(coupled=False), None),
    "RELAX": (rx.RELAX_ELBO, "relax"),
}

DRAWS = {"rloo": 4, "vimco": 10}
"""How many draws the twins compare."""


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


def compiled(step: Callable[..., Any], state: Any, inputs: Any) -> tuple[turns.Run, float, int]:
    """Returns a function that takes ten steps, the seconds to compile one, and its memory."""
    rows = [jax.tree.map(lambda x, i=i: x[i], inputs) for i in range(STEPS)]
    seconds = []
    for _ in range(2):
        begin = time.process_time()
        run = jax.jit(lambda *given: step(*given)).lower(state, rows[0]).compile()
        seconds.append(time.process_time() - begin)
    memory = run.memory_analysis()
    peak = memory.temp_size_in_bytes + memory.argument_size_in_bytes + memory.output_size_in_bytes

    def steps() -> None:
        after = state
        for row in rows:
            after = run(after, row)[0]
        jax.block_until_ready(after)

    return steps, min(seconds), peak


def by_hand(estimator: str, inputs: Any) -> tuple[turns.Run, float, int]:
    """As :func:`compiled`, of steps without a probabilistic program."""
    state = reference.initial_state(reference.initial_params(0, estimator))
    step = reference.make_step(None, estimator, exact_kl=False, draws=DRAWS.get(estimator, 1))
    return compiled(step, state, inputs)


def main() -> None:
    """Print a table of times relative to TraceGraph_ELBO's."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--turns", type=int, default=25)
    parser.add_argument("--only", nargs="+", choices=ELBOS, default=list(ELBOS))
    parser.add_argument("--gradient", action="store_true", help="without the optimiser")
    parser.add_argument("--write", action="store_true", help="keep the table in docs/benchmarks")
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    images = jnp.asarray(rng.random((STEPS, BATCH, PIXELS)) < 0.2, jnp.float32)
    inputs = jax.random.split(jax.random.key(1), STEPS), images
    # The first compilation of a process pays for more than itself.
    compiled(*svi_step(TraceGraph_ELBO(), images[0], options.gradient), inputs)
    names = list(dict.fromkeys(["TraceGraph", *options.only]))
    runs = {}
    for name in names:
        make, _ = ELBOS[name]
        runs[name] = compiled(*svi_step(make(), images[0], options.gradient), inputs)
    if not options.gradient:
        twins = dict.fromkeys(ELBOS[name][1] for name in names if ELBOS[name][1])
        runs |= {f"{twin} by hand": by_hand(str(twin), inputs) for twin in twins}
    found = turns.seconds([run for run, *_ in runs.values()], options.turns).T / STEPS
    times = dict(zip(runs, found, strict=True))
    _, base_compile, base_peak = runs["TraceGraph"]
    rows = []
    for name in names:
        _, seconds, peak = runs[name]
        hand = f"{ELBOS[name][1]} by hand"
        rows.append(
            [
                name,
                f"{1e3 * np.median(times[name]):.2f}",
                table.spread(times[name] / times["TraceGraph"]),
                table.spread(times[name] / times[hand]) if hand in runs else None,
                f"{peak / base_peak:.2f}",
                f"{peak / runs[hand][2]:.2f}" if hand in runs else None,
                f"{seconds / base_compile:.2f}",
                f"{seconds / runs[hand][1]:.2f}" if hand in runs else None,
            ]
        )
    header = ["", "ms", "TraceGraph = 1", "by hand = 1", "memory, TraceGraph = 1", "by hand = 1"]
    text = table.markdown([*header, "compile time, TraceGraph = 1", "by hand = 1"], rows)
    print(text)
    if options.write:
        table.write("elbo_numpyro", text)


if __name__ == "__main__":
    main()
