"""How a step of each NumPyro ELBO grows with latents, sites, levels, particles and rows.

Run by hand, on one thread: ``python -m tests.benchmarks.bench_scaling_numpyro``. A step is one of
stock SVI, jitted, with Adam. Steps take turns within the process; times on a CPU are the
processor's, and a ratio is that of two neighbours in time. Compile time is that of the step, traced
and compiled. Peak memory is that of the compiled step: arguments, results and scratch together
(``compiled.memory_analysis()``). ``scaling`` has the sweeps and the tables; where JAX sees a GPU
the sweeps run there too, with wall times.
"""

import os

if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault(
        "XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
    )

import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from numpyro.infer import SVI, TraceGraph_ELBO

import relaxppl.numpyro as rx
from tests.benchmarks import scaling

ELBOS: dict[str, Any] = {
    "TraceGraph": TraceGraph_ELBO,
    "score": rx.ScoreFunction_ELBO,
    "RLOO": rx.RLOO_ELBO,
    "DisARM": rx.DisARM_ELBO,
    "REBAR": rx.REBAR_ELBO,
    "RELAX": rx.RELAX_ELBO,
}


def program(case: scaling.Case) -> tuple[Any, Any]:
    """Returns a model and its guide: chains of binary sites, an observation for each latent."""
    zeros = jnp.zeros(case.latents)

    def chain(where: str, site: int, start: Any) -> Any:
        z: Any = 0.0
        for level in range(case.levels):
            slope = numpyro.param(f"{where}.slope.{site}.{level}", zeros)
            law = dist.Bernoulli(logits=start + slope * z).to_event(1)
            z = numpyro.sample(f"z.{site}.{level}", law)
        return z

    def model(x: Any) -> None:
        with numpyro.plate("rows", case.rows):
            for site in range(case.sites):
                z = chain("model", site, zeros)
                loc = numpyro.param(f"loc.{site}", zeros + 1.0) * z
                numpyro.sample(f"x.{site}", dist.Normal(loc, 1.0).to_event(1), obs=x[site])

    def guide(x: Any) -> None:
        with numpyro.plate("rows", case.rows):
            for site in range(case.sites):
                weight = numpyro.param(f"weight.{site}", zeros)
                chain("guide", site, x[site] * weight)

    return model, guide


def start(estimator: str, case: scaling.Case, device: Any) -> scaling.Contender:
    """Compiles one step of stock SVI for a device."""
    elbo = ELBOS[estimator](num_particles=scaling.particles_of(estimator, case))
    with jax.default_device(device):
        model, guide = program(case)
        if hasattr(elbo, "prepare"):
            guide = elbo.prepare(guide)
        svi = SVI(model, guide, numpyro.optim.Adam(1e-3), elbo)
        shape = case.sites, case.rows, case.latents
        x = np.random.default_rng(0).normal(size=shape).astype(np.float32)
        x = jax.device_put(x, device)
        state = jax.device_put(svi.init(jax.random.key(0), x), device)
        begin = time.process_time()
        step = jax.jit(svi.update).lower(state, x).compile()
        seconds = time.process_time() - begin

    def run(steps: int) -> None:
        nonlocal state
        for _ in range(steps):
            state, _ = step(state, x)
        jax.block_until_ready(state)

    def memory() -> int:
        used = step.memory_analysis()
        return used.temp_size_in_bytes + used.argument_size_in_bytes + used.output_size_in_bytes

    return scaling.Contender(run, memory, seconds)


def host() -> scaling.Host:
    """Returns NumPyro with the devices that JAX sees."""
    seen = jax.devices()[0]
    gpu = seen if seen.platform != "cpu" else None
    return scaling.Host("NumPyro", start, jax.devices("cpu")[0], gpu)


if __name__ == "__main__":
    scaling.main(host(), "scaling_numpyro", __doc__.splitlines()[0])
