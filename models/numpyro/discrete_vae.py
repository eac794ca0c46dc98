"""A variational autoencoder with binary codes for handwritten digits, in NumPyro.

The code of an image is 200 fair coins, and a network turns them into pixels. Another network reads
the probabilities of the coins off an image. The model stays discrete: what stands between the coins
and a gradient is the loss alone, and ``--method`` chooses it.

    python -m models.numpyro.discrete_vae
"""

from __future__ import annotations

import sys
import time
from typing import Any

import arviz as az
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from numpyro.contrib.module import eqx_module
from numpyro.infer import SVI, TraceMeanField_ELBO

import relaxppl.numpyro as rx
from models.common.cli import positive_int
from models.common.figures import image_rows
from models.common.program import Program, finish
from models.data import baseline_bound, load_digits, pixel_logits

PIXELS, CODES, BATCH, SHOWN = 784, 200, 100, 12


def network(inputs: int, outputs: int, key: jax.Array) -> eqx.nn.MLP:
    """One hidden layer of 200 tanh units."""
    return eqx.nn.MLP(inputs, outputs, 200, depth=1, activation=jnp.tanh, key=key)


def coins(logits: jax.Array) -> Any:
    """The law of a code."""
    return dist.Bernoulli(logits=logits).to_event(1)


def keys(seed: int) -> jax.Array:
    """Of the first weights, of training, of the bound and of draws."""
    return jax.random.split(jax.random.key(seed), 4)


def programs(images: np.ndarray, seed: int) -> tuple[Any, Any]:
    """The model and the guide; both may be given the law of another code, of as many numbers.

    :param images: those to train on, shape (n, 784): the pixels' first bias is their mean.
    :param seed: of the networks' first weights.
    """
    encoder_key, decoder_key = jax.random.split(keys(seed)[0])
    first_encoder, plain = network(PIXELS, CODES, encoder_key), network(CODES, PIXELS, decoder_key)
    bias = jnp.asarray(pixel_logits(images))
    first_decoder = eqx.tree_at(lambda net: net.layers[-1].bias, plain, bias)

    def model(images: jax.Array, batch: int | None = BATCH, law: Any = coins) -> None:
        decoder = eqx_module("decoder", first_decoder)
        with numpyro.plate("image", len(images), subsample_size=batch) as rows:
            code = numpyro.sample("code", law(jnp.zeros(CODES)))
            logits = jax.vmap(decoder)(code.reshape(len(code), CODES))
            numpyro.deterministic("probs", jax.nn.sigmoid(logits))
            numpyro.sample("pixels", dist.Bernoulli(logits=logits).to_event(1), obs=images[rows])

    def guide(images: jax.Array, batch: int | None = BATCH, law: Any = coins) -> None:
        encoder = eqx_module("encoder", first_encoder)
        with numpyro.plate("image", len(images), subsample_size=batch) as rows:
            numpyro.sample("code", law(jax.vmap(encoder)(images[rows])))

    return model, guide


def train(options: Any, loss: Any, model: Any, guide: Any, images: Any) -> tuple[Any, float]:
    """Returns the trained parameters and the seconds that it took."""
    svi = SVI(model, guide, rx.count_steps(numpyro.optim.Adam(2e-3)), loss)
    began = time.perf_counter()
    key, images = keys(options.seed)[1], jnp.asarray(images)
    result = rx.fit(svi, key, options.steps, images, progress=not options.quiet)
    return jax.block_until_ready(result.params), time.perf_counter() - began


def judge(options: Any, model: Any, guide: Any, params: Any, images: Any) -> tuple[float, Any]:
    """Returns the discrete program's bound an image, and draws for the first images."""
    (_, _, key, draws), test = keys(options.seed), jnp.asarray(images)
    bound = jax.jit(
        lambda p: rx.discrete_elbo(model, guide, p, test, None, rng_key=key, num_particles=20)
    )
    shown = model, guide, params, test[:SHOWN], None
    data = rx.to_arviz(*shown, rng_key=draws, num_draws=100, prior=True)
    return float(bound(params)) / len(test), data


def run(options: Any, command: str) -> None:
    """Train, then say how good the discrete model is on images held out."""
    digits = load_digits(held_out=500)
    model, guide = programs(digits.train, options.seed)
    chosen = method(options, model, guide, jnp.asarray(digits.train))
    params, seconds = train(options, *chosen, digits.train)
    bound, data = judge(options, model, guide, params, digits.test)
    baseline = baseline_bound(digits.train, digits.test)
    metrics = {"discrete_test_bound": bound, "baseline": baseline, "seconds": seconds}
    lines = [
        f"discrete test bound  {bound:.2f} nats an image",
        f"independent pixels   {baseline:.2f} nats an image",
        str(az.summary(data, var_names=["code"], kind="stats").head()),
    ]
    picture = {"digits.png": lambda path: draw(path, digits.test, data)}
    finish(options, command, metrics, picture | {"posterior.nc": data.to_netcdf}, lines)


def method(options: Any, model: Any, guide: Any, images: jax.Array) -> tuple[Any, Any, Any]:
    """The loss that trains, and the programs to train with it."""
    if options.method == "relax":
        return TraceMeanField_ELBO(), *(rx.relax(f, temperature=0.5) for f in (model, guide))
    if options.method == "recommend":
        found = rx.recommend(model, guide, images)
        print(found)
        return found.loss, found.model, found.guide
    if options.method == "disarm":
        return rx.DisARM_ELBO(), model, guide
    # Biased while noise is what holds training back; unbiased for the last third.
    elbo = rx.REBAR_ELBO(debias=rx.LinearSchedule(0.0, 1.0, max(1, 2 * options.steps // 3)))
    return elbo, model, elbo.prepare(guide)


def draw(path: Any, images: np.ndarray, data: Any) -> None:
    """Images, what their codes say of them, and new ones."""
    probs = data["posterior"]["probs"].values.mean((0, 1))
    new = data["prior"]["probs"].values[0, :SHOWN, 0]
    rows = {"held out": images[:SHOWN], "reconstructed": probs, "new": new}
    image_rows(path, rows, "A discrete VAE in NumPyro")


METHODS = ("rebar", "disarm", "relax", "recommend")
main = Program("numpyro.discrete_vae", __doc__, run, needs=("mlxtend",))
main.add("--method", choices=METHODS, default="rebar", help="what trains it")
main.add("--steps", type=positive_int, default=3000, help="of Adam")

if __name__ == "__main__":
    sys.exit(main())
