"""A variational autoencoder with binary codes for handwritten digits, in NumPyro.

The code of an image is 200 fair coins, and a network turns them into pixels. Another network reads
the probabilities of the coins off an image. The model stays discrete: what stands between the coins
and a gradient is the loss alone, and ``--method`` chooses it.

    python -m models.numpyro.discrete_vae
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
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
from models.common.program import build_parser, finish, start
from models.data import baseline_bound, load_digits, pixel_logits

PIXELS, CODES, BATCH, SHOWN = 784, 200, 100, 12


def network(inputs: int, outputs: int, key: jax.Array) -> eqx.nn.MLP:
    """One hidden layer of 200 tanh units."""
    return eqx.nn.MLP(inputs, outputs, 200, depth=1, activation=jnp.tanh, key=key)


def programs(images: np.ndarray, key: jax.Array) -> tuple[Any, Any]:
    """The model and the guide.

    :param images: those to train on, shape (n, 784): the pixels' first bias is their mean.
    :param key: of the networks' first weights.
    """
    encoder_key, decoder_key = jax.random.split(key)
    first_encoder = network(PIXELS, CODES, encoder_key)
    first_decoder = eqx.tree_at(
        lambda net: net.layers[-1].bias,
        network(CODES, PIXELS, decoder_key),
        jnp.asarray(pixel_logits(images)),
    )

    def model(images: jax.Array, batch: int | None = BATCH) -> None:
        decoder = eqx_module("decoder", first_decoder)
        with numpyro.plate("image", len(images), subsample_size=batch) as rows:
            code = numpyro.sample("code", dist.Bernoulli(0.5 * jnp.ones(CODES)).to_event(1))
            logits = jax.vmap(decoder)(code)
            numpyro.deterministic("probs", jax.nn.sigmoid(logits))
            pixels = dist.Bernoulli(logits=logits).to_event(1)
            numpyro.sample("pixels", pixels, obs=images[rows])

    def guide(images: jax.Array, batch: int | None = BATCH) -> None:
        encoder = eqx_module("encoder", first_encoder)
        with numpyro.plate("image", len(images), subsample_size=batch) as rows:
            logits = jax.vmap(encoder)(images[rows])
            numpyro.sample("code", dist.Bernoulli(logits=logits).to_event(1))

    return model, guide


def run(options: Any, command: str) -> None:
    """Train, then say how good the discrete model is on images held out."""
    digits = load_digits(held_out=500)
    train, test = jnp.asarray(digits.train), jnp.asarray(digits.test)
    weights_key, fit_key, bound_key, draw_key = jax.random.split(jax.random.key(options.seed), 4)
    model, guide = programs(digits.train, weights_key)
    loss, trained_model, trained_guide = method(options, model, guide, train)

    optimiser = rx.count_steps(numpyro.optim.Adam(2e-3))
    svi = SVI(trained_model, trained_guide, optimiser, loss)
    began = time.perf_counter()
    result = rx.fit(svi, fit_key, options.steps, train, progress=not options.quiet)
    seconds = time.perf_counter() - began

    # Of the discrete program, whatever it was trained through.
    bounds = rx.discrete_elbo(
        model, guide, result.params, test, None, rng_key=bound_key, num_particles=20
    )
    bound = float(bounds) / len(test)
    baseline = baseline_bound(digits.train, digits.test)
    data = rx.to_arviz(
        *(model, guide, result.params, test[:SHOWN], None),
        rng_key=draw_key,
        num_draws=100,
        prior=True,
    )
    finish(
        options,
        command,
        {"discrete_test_bound": bound, "baseline": baseline, "seconds": seconds},
        {"digits.png": lambda path: draw(path, digits.test, data), "posterior.nc": data.to_netcdf},
        [
            f"discrete test bound  {bound:.2f} nats an image",
            f"independent pixels   {baseline:.2f} nats an image",
            str(az.summary(data, var_names=["code"], kind="stats").head()),
        ],
    )


def method(options: Any, model: Any, guide: Any, images: jax.Array) -> tuple[Any, Any, Any]:
    """The loss that trains, and the programs to train with it."""
    if options.method == "straight-through":
        relaxed = (rx.relax(program, temperature=0.5) for program in (model, guide))
        return TraceMeanField_ELBO(), *relaxed
    if options.method == "recommend":
        found = rx.recommend(model, guide, images)
        print(found)
        return found.loss, found.model, found.guide
    if options.method == "disarm":
        return rx.DisARM_ELBO(), model, guide
    # Biased while noise is what holds training back; unbiased for the last third.
    debias = rx.LinearSchedule(0.0, 1.0, max(1, 2 * options.steps // 3))
    elbo = rx.REBAR_ELBO(debias=debias)
    return elbo, model, elbo.prepare(guide)


def draw(path: Any, images: np.ndarray, data: Any) -> None:
    """Images, what their codes say of them, and new ones."""
    probs = data["posterior"]["probs"].values.mean((0, 1))
    new = data["prior"]["probs"].values[0, :SHOWN, 0]
    rows = {"held out": images[:SHOWN], "reconstructed": probs, "new": new}
    image_rows(path, rows, "A discrete VAE in NumPyro")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program; returns 0, 2 for an argument that cannot be used, 1 for a failed run."""
    parser = build_parser("numpyro.discrete_vae", __doc__.splitlines()[0], backend="numpyro")
    methods = ("rebar", "disarm", "straight-through", "recommend")
    parser.add_argument("--method", choices=methods, default="rebar", help="what trains it")
    parser.add_argument("--steps", type=positive_int, default=3000, help="of Adam")
    return start(parser, argv, lambda options, _, command: run(options, command), ("mlxtend",))


if __name__ == "__main__":
    sys.exit(main())
