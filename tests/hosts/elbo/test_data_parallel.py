"""A batch spread over several devices gives the gradient of one device."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tests.xla import QUICK

ROOT = Path(__file__).parents[3]


def run(script: str, folder: Path, *args: str, **environment: str) -> str:
    """Runs a script in a process of its own and returns what it prints."""
    path = folder / "script.py"
    path.write_text(textwrap.dedent(script))
    env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **environment}
    command = [sys.executable, str(path), *args]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


SHARDED = """
    import sys
    import jax, jax.numpy as jnp, numpy as np, numpyro, numpyro.distributions as dist
    from jax.sharding import Mesh, NamedSharding, PartitionSpec as P
    import relaxppl.numpyro as rx

    jax.config.update("jax_enable_x64", True)
    assert len(jax.devices()) == 4
    rng = np.random.default_rng(0)
    data = jnp.asarray(rng.integers(0, 2, (16, 6)).astype(float))

    def model(x):
        w = numpyro.param("w", 0.3 * rng.normal(size=(3, 6)))
        with numpyro.plate("data", 16):
            z = numpyro.sample("z", dist.Bernoulli(0.4 * jnp.ones(3)).to_event(1))
            numpyro.sample("x", dist.Bernoulli(logits=z @ w).to_event(1), obs=x)

    def guide(x):
        v = numpyro.param("v", 0.3 * rng.normal(size=(6, 3)))
        with numpyro.plate("data", 16):
            numpyro.sample("z", dist.Bernoulli(logits=x @ v).to_event(1))

    def gradients(name, *batches):
        elbo = getattr(rx, name)()
        prepared = elbo.prepare(guide)
        svi = numpyro.infer.SVI(model, prepared, numpyro.optim.Adam(0.1), elbo)
        state = jax.jit(svi.init)(jax.random.key(0), data)
        params, mutable = svi.get_params(state), state.mutable_state or {}

        @jax.jit
        def gradient(params, x):
            def loss(p):
                return elbo.loss(jax.random.key(1), {**p, **mutable}, model, prepared, x)
            return jax.value_and_grad(loss)(params)

        return [gradient(params, x) for x in batches]

    spread = jax.device_put(data, NamedSharding(Mesh(jax.devices(), ("batch",)), P("batch")))
    assert len(spread.sharding.device_set) == 4
    for name in sys.argv[1:]:
        one, many = gradients(name, data, spread)
        close = lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)
        jax.tree.map(close, one, many)
        assert all(np.abs(one[1][n]).max() > 0 for n in "vw")
        print(name, "agrees")
"""

CLASSES = ["ScoreFunction_ELBO", "RLOO_ELBO", "DisARM_ELBO", "REBAR_ELBO", "RELAX_ELBO"]


@pytest.mark.long
def test_numpyro_batch_sharded_over_four_devices(tmp_path: Path) -> None:
    flags = f"--xla_force_host_platform_device_count=4 {QUICK}"
    printed = run(SHARDED, tmp_path, *CLASSES, XLA_FLAGS=flags, JAX_PLATFORMS="cpu")
    assert [line.split()[0] for line in printed.splitlines()] == CLASSES


DISTRIBUTED = """
    import os, sys
    import torch, torch.distributed as group, torch.multiprocessing as mp
    import pyro, pyro.distributions as dist
    import relaxppl.pyro as rx

    NAMES = ["ScoreFunction_ELBO", "RLOO_ELBO", "DisARM_ELBO", "REBAR_ELBO", "RELAX_ELBO"]
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(0)
    data = torch.randint(0, 2, (16, 6)).double()
    initial_w, initial_v = 0.3 * torch.randn(3, 6), 0.3 * torch.randn(6, 3)

    def model(index):
        w = pyro.param("w", initial_w.clone())
        with pyro.plate("data", 16, subsample=index):
            z = pyro.sample("z", dist.Bernoulli(0.4 * torch.ones(3)).to_event(1))
            pyro.sample("x", dist.Bernoulli(logits=z @ w).to_event(1), obs=data[index])

    def guide(index):
        v = pyro.param("v", initial_v.clone())
        with pyro.plate("data", 16, subsample=index):
            pyro.sample("z", dist.Bernoulli(logits=data[index] @ v).to_event(1))

    def shard_gradient(name, rank):
        # The draws of a shard are those of its rank's seed, wherever it is computed.
        pyro.clear_param_store()
        pyro.set_rng_seed(rank)
        index = torch.arange(8 * rank, 8 * rank + 8)
        getattr(rx, name)().loss_and_grads(model, guide, index)
        store = pyro.get_param_store()
        return {n: store[n].unconstrained().grad for n in ("v", "w")}

    def worker(rank, port):
        os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=port)
        group.init_process_group("gloo", rank=rank, world_size=2)
        for name in NAMES:
            mine = shard_gradient(name, rank)
            for gradient in mine.values():
                group.all_reduce(gradient)
                gradient /= 2
            if rank == 0:
                parts = [shard_gradient(name, r) for r in (0, 1)]
                for n, gradient in mine.items():
                    alone = (parts[0][n] + parts[1][n]) / 2
                    torch.testing.assert_close(gradient, alone, rtol=1e-10, atol=1e-12)
                    assert gradient.abs().max() > 0
                print(name, "agrees", flush=True)
        group.destroy_process_group()

    if __name__ == "__main__":
        # Forked before any thread of autograd starts: three imports of torch would take longer.
        mp.start_processes(worker, args=(sys.argv[1],), nprocs=2, start_method="fork")
"""


@pytest.mark.long
def test_pyro_batch_over_two_processes(tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    printed = run(DISTRIBUTED, tmp_path, port)
    assert [line.split()[0] for line in printed.splitlines()] == CLASSES
