"""How a step of each Pyro ELBO grows with latents, sites, levels, particles and rows.

Run by hand: ``python -m tests.benchmarks.bench_scaling_pyro``. A step is one of stock SVI with
Adam, on one thread. Steps take turns within the process; times on a CPU are the processor's, and a
ratio is that of two neighbours in time. Peak memory is the largest sum of live tensors during a
step: on a CPU by ``torch.profiler``'s record of every allocation and release, with the parameters
and Adam's moments added; on a GPU by the allocator's own count. ``scaling`` has the sweeps and the
tables; where torch sees a GPU the sweeps run there too, with wall times.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyro
import pyro.distributions as dist
import pyro.optim
import torch
from pyro.infer import SVI, TraceGraph_ELBO

import relaxppl.pyro as rx
from tests.benchmarks import scaling
from tests.benchmarks.bench_elbo_pyro import peak_memory

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

    def chain(where: str, site: int, start: Any) -> Any:
        z: Any = 0.0
        for level in range(case.levels):
            slope = pyro.param(f"{where}.slope.{site}.{level}", lambda: torch.zeros(case.latents))
            law = dist.Bernoulli(logits=start + slope * z).to_event(1)
            z = pyro.sample(f"z.{site}.{level}", law)
        return z

    def model(x: torch.Tensor) -> None:
        with pyro.plate("rows", case.rows):
            for site in range(case.sites):
                z = chain("model", site, x.new_zeros(case.latents))
                loc = pyro.param(f"loc.{site}", lambda: torch.ones(case.latents)) * z
                pyro.sample(f"x.{site}", dist.Normal(loc, 1.0).to_event(1), obs=x[site])

    def guide(x: torch.Tensor) -> None:
        with pyro.plate("rows", case.rows):
            for site in range(case.sites):
                weight = pyro.param(f"weight.{site}", lambda: torch.zeros(case.latents))
                chain("guide", site, x[site] * weight)

    return model, guide


def start(estimator: str, case: scaling.Case, device: torch.device) -> scaling.Contender:
    """Prepares steps of stock SVI on a device, with a parameter store of their own."""
    particles = scaling.particles_of(estimator, case)
    # Particles lie in a plate outside the program's own.
    nesting = {"max_plate_nesting": 1, "vectorize_particles": True} if particles > 1 else {}
    elbo = ELBOS[estimator](num_particles=particles, **nesting)
    model, guide = program(case)
    if hasattr(elbo, "prepare"):
        guide = elbo.prepare(guide)
    svi = SVI(model, guide, pyro.optim.Adam({"lr": 1e-3}), elbo)
    shape = case.sites, case.rows, case.latents
    x = torch.from_numpy(np.random.default_rng(0).normal(size=shape).astype(np.float32)).to(device)
    store: Any = {"params": {}, "constraints": {}}

    def run(steps: int) -> None:
        with device, pyro.get_param_store().scope(store):
            for _ in range(steps):
                svi.step(x)
            if device.type == "cuda":
                torch.cuda.synchronize()

    def memory() -> int:
        held = 3 * sum(p.numel() * p.element_size() for p in store["params"].values())
        if device.type != "cuda":
            return held + peak_memory(lambda: run(1))
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        run(1)
        return held + torch.cuda.max_memory_allocated() - before

    return scaling.Contender(run, memory)


def host() -> scaling.Host:
    """Returns Pyro with the devices that torch sees."""
    gpu = torch.device("cuda") if torch.cuda.is_available() else None
    return scaling.Host("Pyro", start, torch.device("cpu"), gpu)


if __name__ == "__main__":
    torch.set_num_threads(1)
    scaling.main(host(), "scaling_pyro", __doc__.splitlines()[0])
