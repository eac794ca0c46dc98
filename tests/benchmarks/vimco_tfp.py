"""Trains the network of ``bench_vimco`` with TensorFlow Probability's VIMCO; run by that.

It runs in another environment, so that it imports nothing of this project. The loss is not
compiled: in TensorFlow Probability 0.25 the leave-one-out means of ``csiszar_vimco`` take a shape
from a traced value, which ``jax.jit`` refuses.
"""

from __future__ import annotations

import os
import sys
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault(
    "XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
)

import jax
import jax.numpy as jnp
import numpy as np
import tensorflow_probability.substrates.jax as tfp

tfd = tfp.distributions


def loss(params, key, x, count):
    """Minus the bound of some draws, averaged over images, with VIMCO's gradient."""
    q = tfd.Independent(tfd.Bernoulli(logits=x @ params["W"] + params["w"], dtype=x.dtype), 1)
    prior = -params["V"].shape[0] * np.log(2.0)

    def log_joint(b):
        pixels = tfd.Independent(tfd.Bernoulli(logits=b @ params["V"] + params["v"]), 1)
        return prior + pixels.log_prob(x)

    kl = tfp.vi.kl_reverse
    return jnp.mean(tfp.vi.csiszar_vimco(kl, log_joint, q, num_draws=count, seed=key))


def main() -> None:
    given, left, *numbers = sys.argv[1:]
    count, seed, steps, batch = map(int, numbers[:4])
    rate = float(numbers[4])
    with np.load(given) as file:
        data = {n: jnp.asarray(file[n]) for n in file.files}
    images = data.pop("images")

    @jax.jit
    def adam(state, gradient):
        params, m, s, t = state
        t = t + 1
        m = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, m, gradient)
        s = jax.tree.map(lambda s, g: 0.999 * s + 0.001 * g * g, s, gradient)

        def moved(p, m, s):
            return p - rate * (m / (1 - 0.9**t)) / (jnp.sqrt(s / (1 - 0.999**t)) + 1e-8)

        return jax.tree.map(moved, params, m, s), m, s, t

    zeros = jax.tree.map(jnp.zeros_like, data)
    state, times = (data, zeros, zeros, 0.0), []
    rng = np.random.default_rng(seed)
    for key in jax.random.split(jax.random.key(seed), steps):
        begin = time.process_time()
        rows = rng.choice(len(images), batch, replace=False)
        gradient = jax.grad(loss)(state[0], key, images[rows], count)
        state = jax.block_until_ready(adam(state, gradient))
        times.append(time.process_time() - begin)
    params = {n: np.asarray(x) for n, x in state[0].items()}
    np.savez(left, seconds=np.median(times[1:]), **params)


if __name__ == "__main__":
    main()
