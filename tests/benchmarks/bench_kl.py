"""One step of a VAE whose 40-dimensional Concrete guide has the exact KL, against the sampled KL.

Run by hand, on one thread: ``python -m tests.benchmarks.bench_kl``. The network is
784-200-40-200-784 with tanh units, batch 100, Adam, on either host; the code is 40 numbers, as one
simplex of 40 classes, as ten of 4, or as 40 binary ones. ``TraceMeanField_ELBO`` takes the exact
KL, ``Trace_ELBO`` the log densities at the sample. The two take turns of ten steps, on the
processor's clock; the ratio is the median, the least and the largest over turns.
``--wide`` adds 40 simplexes of 10 classes, a code of 400 numbers.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("JAX_PLATFORMS", "cpu")  # The clock is the processor's.
os.environ.setdefault(
    "XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
)

import argparse
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import pyro
import torch

import relaxppl.numpyro as rn
import relaxppl.pyro as rp
from tests.benchmarks import table, turns
from tests.benchmarks.turns import Run

PIXELS, HIDDEN, BATCH, STEPS = 784, 200, 100, 10

CODES: dict[str, tuple[int, int]] = {
    "1 simplex of 40": (1, 40),
    "10 simplexes of 4": (10, 4),
    "40 binary": (40, 1),
}
"""How many variables of how many classes; one class stands for a binary variable."""


def weights(code: tuple[int, int]) -> dict[str, np.ndarray]:
    """Initial weights of the encoder (e) and the decoder (d)."""
    rng = np.random.default_rng(0)
    width = code[0] * code[1]
    sizes = {"e1": (PIXELS, HIDDEN), "e2": (HIDDEN, width), "d1": (width, HIDDEN)}
    sizes["d2"] = (HIDDEN, PIXELS)
    return {n: rng.normal(size=s).astype("float32") / s[0] ** 0.5 for n, s in sizes.items()}


def images() -> np.ndarray:
    """One batch of binary images."""
    return np.random.default_rng(1).binomial(1, 0.2, (BATCH, PIXELS)).astype("float32")


def programs(lib: Any, rx: Any, tanh: Any, code: tuple[int, int], start: Any) -> tuple[Any, Any]:
    """The model and the guide, on either host."""
    count, classes = code
    shape = (count,) if classes == 1 else code

    def law(logits: Any) -> Any:
        logits = logits.reshape(-1, *shape)
        relaxed = rx.RelaxedBernoulli if classes == 1 else rx.RelaxedOneHotCategorical
        return relaxed(0.5, logits=logits).to_event(1)

    def model(x: Any) -> None:
        d1, d2 = lib.param("d1", start["d1"]), lib.param("d2", start["d2"])
        with lib.plate("batch", BATCH):
            uniform = x[:, :1] * (0.0 * x[:1, : code[0] * code[1]])
            z = lib.sample("z", law(uniform))
            logits = tanh(z.reshape(BATCH, -1) @ d1) @ d2
            lib.sample("x", lib.distributions.Bernoulli(logits=logits).to_event(1), obs=x)

    def guide(x: Any) -> None:
        e1, e2 = lib.param("e1", start["e1"]), lib.param("e2", start["e2"])
        with lib.plate("batch", BATCH):
            lib.sample("z", law(tanh(x @ e1) @ e2))

    return model, guide


def numpyro_runs(code: tuple[int, int]) -> dict[str, Run]:
    """Ten jitted steps with each ELBO."""
    x = jnp.asarray(images())
    start = {n: jnp.asarray(w) for n, w in weights(code).items()}
    pair = programs(numpyro, rn, jnp.tanh, code, start)

    def run_of(elbo: Any) -> Run:
        svi = numpyro.infer.SVI(*pair, numpyro.optim.Adam(1e-3), elbo)
        state = svi.init(jax.random.key(0), x)
        many = jax.jit(
            lambda state: jax.lax.scan(lambda s, _: svi.update(s, x), state, length=STEPS)
        )
        return lambda: jax.block_until_ready(many(state))

    return {
        "exact": run_of(numpyro.infer.TraceMeanField_ELBO()),
        "sampled": run_of(numpyro.infer.Trace_ELBO()),
    }


def pyro_runs(code: tuple[int, int]) -> dict[str, Run]:
    """Ten steps with each ELBO."""
    pyro.clear_param_store()
    x = torch.tensor(images())
    start = {n: torch.tensor(w) for n, w in weights(code).items()}
    pair = programs(pyro, rp, torch.tanh, code, start)

    def run_of(elbo: Any) -> Run:
        svi = pyro.infer.SVI(*pair, pyro.optim.Adam({"lr": 1e-3}), elbo)

        def run() -> None:
            for _ in range(STEPS):
                svi.step(x)

        return run

    return {
        "exact": run_of(pyro.infer.TraceMeanField_ELBO()),
        "sampled": run_of(pyro.infer.Trace_ELBO()),
    }


def main() -> None:
    """Print a table of the ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--turns", type=int, default=20)
    parser.add_argument("--wide", action="store_true", help="add 40 simplexes of 10 classes")
    parser.add_argument("--write", action="store_true", help="keep the table in docs/benchmarks")
    options = parser.parse_args()
    torch.set_num_threads(1)
    codes = CODES | ({"40 simplexes of 10": (40, 10)} if options.wide else {})
    rows = []
    for name, code in codes.items():
        rows.append([name])
        for make in (numpyro_runs, pyro_runs):
            runs = make(code)
            exact, sampled = turns.seconds([runs["exact"], runs["sampled"]], options.turns).T
            rows[-1] += [f"{1e3 * np.median(sampled) / STEPS:.2f}", table.spread(exact / sampled)]
    header = ["code"]
    for host in ("NumPyro", "Pyro"):
        header += [f"{host}, sampled, ms", "exact, sampled = 1"]
    text = table.markdown(header, rows)
    print(text)
    if options.write:
        table.write("kl", text)


if __name__ == "__main__":
    main()
