"""However many steps, a program runs in Python as often as one step's tracing takes."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
from numpyro.infer import SVI

import relaxppl.numpyro as rx

DATA = jnp.array([0.1, 0.9, -0.3])


def test_a_program_is_traced_once_for_all_steps():
    runs = []

    def model(x):
        runs.append(1)
        with numpyro.plate("rows", 3):
            z = numpyro.sample("z", dist.Bernoulli(0.5))
            numpyro.sample("x", dist.Normal(z, 1.0), obs=x)

    def guide(x):
        with numpyro.plate("rows", 3):
            numpyro.sample("z", dist.Bernoulli(logits=numpyro.param("logit", jnp.zeros(3))))

    def count(fn):
        runs.clear()
        fn()
        return len(runs)

    elbo = rx.REBAR_ELBO()
    svi = SVI(model, elbo.prepare(guide), numpyro.optim.Adam(0.1), elbo)
    state = svi.init(jax.random.key(0), DATA)

    def scanned(length):
        steps = lambda s: jax.lax.scan(lambda s, _: svi.update(s, DATA), s, None, length)  # noqa: E731
        jax.make_jaxpr(steps)(state)

    of_one_step = count(lambda: jax.make_jaxpr(svi.update)(state, DATA))
    assert count(lambda: scanned(2)) == count(lambda: scanned(50)) == of_one_step > 0

    update = jax.jit(svi.update)

    def steps():
        # What the first step returns has the kinds of what it took, and other data do too.
        after = state
        for step in range(4):
            after, _ = update(after, DATA + step)

    assert count(steps) == of_one_step

    def run():
        svi.run(jax.random.key(0), 40, DATA, progress_bar=False, init_state=state)

    assert count(run) == of_one_step
