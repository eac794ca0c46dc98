"""Draws what each estimator's gradient looks like: ``python docs/estimators/draw.py``.

Writes ``images/NAME.png`` beside this file. Needs NumPyro and matplotlib.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import numpyro
import numpyro.distributions as dist

import relaxppl.numpyro as rx
from relaxppl.estimators import local_gradient, noise_shapes

TARGET = 0.45
LOGITS = np.linspace(-4.0, 4.0, 41)
DRAWS = 20_000
STEPS, EVERY = 3_000, 100
IMAGES = Path(__file__).parent / "images"


def noise(estimator: str, logits: jax.Array, seed: int) -> dict[str, jax.Array]:
    """Standard noise of the shapes and laws that an estimator asks for."""
    drawn = {}
    asked = noise_shapes(estimator, logits)
    for key, (name, (law, shape)) in zip(
        jax.random.split(jax.random.key(seed), len(asked)), asked.items(), strict=True
    ):
        drawn[name] = getattr(jax.random, law)(key, shape)
    return drawn


def bands() -> None:
    """The gradient of E[(b - 0.45)^2]: the mean and one standard deviation of single estimates."""
    logits = jnp.broadcast_to(jnp.asarray(LOGITS), (DRAWS, len(LOGITS)))
    p = 1.0 / (1.0 + np.exp(-LOGITS))
    exact = p * (1.0 - p) * (1.0 - 2.0 * TARGET)
    for estimator in ("score", "rloo", "disarm", "rebar"):
        found = local_gradient(
            lambda b: (b - TARGET) ** 2, logits, noise(estimator, logits, 0), estimator=estimator
        )
        h = np.asarray(found.gradient)
        figure, axes = plt.subplots(figsize=(5.5, 2.8), layout="constrained")
        mean, deviation = h.mean(0), h.std(0)
        axes.fill_between(LOGITS, mean - deviation, mean + deviation, alpha=0.3, lw=0)
        axes.plot(LOGITS, mean, lw=2, label="mean of 20,000 estimates")
        axes.plot(LOGITS, exact, "k--", lw=1, label="exact gradient")
        axes.set(xlabel="logit", ylabel="estimate", ylim=(-0.25, 0.35), title=estimator)
        axes.legend(frameon=False, loc="upper left")
        figure.savefig(IMAGES / f"{estimator}.png", dpi=120)
        plt.close(figure)


def model() -> None:
    """A cost of (b - 0.499)^2, with a prior that is the guide's law at a logit of zero."""
    b = numpyro.sample("b", dist.Bernoulli(logits=jnp.zeros(())))
    numpyro.factor("cost", -((b - 0.499) ** 2))


def guide() -> None:
    """One Bernoulli, whose logit the gradient is taken in."""
    numpyro.sample("b", dist.Bernoulli(logits=numpyro.param("logit", jnp.zeros(()))))


def fixed_guide() -> None:
    """The same without a parameter, so that only the estimator learns."""
    numpyro.sample("b", dist.Bernoulli(logits=jnp.zeros(())))


def variances(elbo: Any) -> list[float]:
    """ln Var of the gradient in the logit, every hundred steps of the estimator's learning."""
    svi = numpyro.infer.SVI(model, elbo.prepare(fixed_guide), numpyro.optim.Adam(0.01), elbo)

    @jax.jit
    def measure(params: dict[str, Any], key: jax.Array) -> jax.Array:
        def gradient(key: jax.Array) -> jax.Array:
            def loss(logit: jax.Array) -> jax.Array:
                return elbo.loss(key, {**params, "logit": logit}, model, guide)

            return jax.grad(loss)(jnp.zeros(()))

        return jnp.log(jnp.var(jax.vmap(gradient)(jax.random.split(key, 4_000))))

    @jax.jit
    def advance(state: Any) -> Any:
        return jax.lax.scan(lambda s, _: (svi.update(s)[0], None), state, None, length=EVERY)[0]

    state, found = svi.init(jax.random.key(0)), []
    for k in range(STEPS // EVERY + 1):
        found.append(float(measure(svi.get_params(state), jax.random.key(k))))
        state = advance(state)
    return found


def learning() -> None:
    """The variance of REBAR and RELAX at a fixed guide while they learn to lower it."""
    figure, axes = plt.subplots(figsize=(5.5, 2.8), layout="constrained")
    steps = np.arange(0, STEPS + 1, EVERY)
    for label, elbo in (("REBAR, learned", rx.REBAR_ELBO()), ("RELAX", rx.RELAX_ELBO())):
        axes.plot(steps, variances(elbo), label=label)
    axes.axhline(np.log(0.499**4 / 8 + 0.501**4 / 8), color="k", ls="--", lw=1, label="score")
    axes.set(xlabel="step", ylabel="ln variance", title="E[(b - 0.499)$^2$] at p = 1/2")
    axes.legend(frameon=False)
    figure.savefig(IMAGES / "relax.png", dpi=120)
    plt.close(figure)


if __name__ == "__main__":
    IMAGES.mkdir(exist_ok=True)
    bands()
    learning()
