"""A sigmoid belief network for handwritten digits, by any of eleven estimators, in NumPyro.

An image comes from binary codes, through one or two linear maps, and a guide reads the codes off
the image by maps of its own. Nothing is relaxed unless asked for: the estimator alone stands
between the codes and their gradient.

    python -m models.numpyro.sigmoid_belief_network
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from numpyro.infer import SVI, TraceGraph_ELBO

import relaxppl.numpyro as rx
from models.common.cli import positive_int
from models.common.figures import image_rows
from models.common.networks import belief_weights
from models.common.program import Program, finish
from models.data import baseline_bound, load_digits

BATCH, SHOWN = 100, 12
ESTIMATORS: dict[str, Callable[..., Any]] = {
    "score": rx.ScoreFunction_ELBO,
    "score-average": partial(rx.ScoreFunction_ELBO, baseline="average"),
    "score-network": partial(rx.ScoreFunction_ELBO, baseline="network"),
    "rloo": partial(rx.RLOO_ELBO, num_particles=4),
    "disarm": rx.DisARM_ELBO,
    "rebar": partial(rx.REBAR_ELBO, temperature=0.1),
    "rebar-fixed": partial(rx.REBAR_ELBO, temperature=0.5, learn=False),
    "relax": partial(rx.RELAX_ELBO, temperature=0.1),
    "relax-network": partial(rx.RELAX_ELBO, control_variate="network", hidden=100),
    "straight-through": rx.ScoreFunction_ELBO,
    "tracegraph": lambda exact_kl: TraceGraph_ELBO(),
}
"""The host's own comes last; it always samples the KL, and the others integrate it if asked."""


def programs(options: Any, images: np.ndarray) -> tuple[Any, Any]:
    """The model and the guide.

    :param options: has the layers, their latents and the estimator.
    :param images: those to train on, (n, 784): the pixels' first bias is their mean.
    """
    weights = belief_weights(options.seed, images, options.layers, options.latents)
    layers = range(1, options.layers + 1)

    def linear(name: str, x: Any) -> Any:
        weight, bias = (numpyro.param(f"{name}.{part}", weights[f"{name}.{part}"]) for part in "wb")
        return x @ weight + bias

    def plate(images: Any, batch: int | None) -> tuple[Any, Any]:
        # A network among the estimator's parts learns costs by steps of Adam's size: those of one
        # image are in its reach, and those that stand for all are not. So the scale is undone.
        unscaled = numpyro.handlers.scale(scale=(batch or len(images)) / len(images))
        return unscaled, numpyro.plate("images", len(images), subsample_size=batch)

    def model(images: jax.Array, batch: int | None = BATCH) -> None:
        unscaled, rows = plate(images, batch)
        with unscaled, rows as index:
            logits = jnp.zeros((len(index), options.latents))
            for k in reversed(layers):
                law = dist.Bernoulli(logits=logits).to_event(1)
                code = numpyro.sample(f"code{k}", law).astype(jnp.float32)
                logits = linear(f"generate{k}", code)
            numpyro.deterministic("probs", jax.nn.sigmoid(logits))
            numpyro.sample("pixels", dist.Bernoulli(logits=logits).to_event(1), obs=images[index])

    def guide(images: jax.Array, batch: int | None = BATCH) -> None:
        unscaled, rows = plate(images, batch)
        with unscaled, rows as index:
            code = images[index]
            # What a baseline's network reads beside the code.
            seen = {"estimator_input": code} if options.estimator == "score-network" else None
            for k in layers:
                law = dist.Bernoulli(logits=linear(f"infer{k}", code)).to_event(1)
                code = numpyro.sample(f"code{k}", law, infer=seen).astype(jnp.float32)

    return model, guide


def method(options: Any, model: Any, guide: Any) -> tuple[Any, Any, Any]:
    """The loss that the estimator is, and the programs to train with it."""
    loss = ESTIMATORS[options.estimator](exact_kl=options.exact_kl)
    if options.estimator == "straight-through":
        config = {f"code{k + 1}": rx.RelaxedBernoulliStraightThrough for k in range(options.layers)}
        model, guide = (rx.relax(program, 0.5, config) for program in (model, guide))
    if options.estimator != "tracegraph":
        guide = loss.prepare(guide)
    return loss, model, guide


def run(options: Any, command: str) -> None:
    """Train, then say how good the discrete model is on images held out."""
    digits = load_digits(threshold=0.5)
    train, test = jnp.asarray(digits.train), jnp.asarray(digits.test)
    fit_key, bound_key = jax.random.split(jax.random.key(options.seed))
    model, guide = programs(options, digits.train)
    loss, trained_model, trained_guide = method(options, model, guide)
    svi = SVI(trained_model, trained_guide, numpyro.optim.Adam(1e-3), loss)
    params = rx.fit(svi, fit_key, options.steps, train, progress=not options.quiet).params
    program = model, guide, params
    found = rx.discrete_elbo(*program, test, None, rng_key=bound_key, num_particles=20)
    bound, baseline = float(found) / len(test), baseline_bound(digits.train, digits.test)
    few = test[:SHOWN]
    data = rx.to_arviz(*program, few, None, rng_key=bound_key, num_draws=100, prior=True)
    finish(
        options,
        command,
        {"discrete_test_bound": bound, "baseline": baseline},
        {"digits.png": lambda path: pictures(path, data, digits), "posterior.nc": data.to_netcdf},
        [f"discrete test bound  {bound:.2f} nats an image; independent pixels {baseline:.2f}"],
    )


def pictures(path: Any, data: Any, digits: Any) -> None:
    """Images, what their codes say of them, and new ones."""
    probs, new = (data[group]["probs"].values for group in ("posterior", "prior"))
    rows = {"held out": digits.test[:SHOWN], "reconstructed": probs.mean((0, 1))}
    image_rows(path, rows | {"new": new[0, :SHOWN, 0]}, "A sigmoid belief network")


main = Program("numpyro.sigmoid_belief_network", __doc__, run, needs=("mlxtend",))
main.add("--estimator", choices=ESTIMATORS, default="disarm", help="of the gradient")
main.add("--no-exact-kl", dest="exact_kl", action="store_false", help="sample the KL of the codes")
main.add("--layers", type=int, choices=(1, 2), default=1, help="of codes")
main.add("--latents", type=positive_int, default=200, help="codes in a layer")
main.add("--steps", type=positive_int, default=2000, help="of Adam")

if __name__ == "__main__":
    sys.exit(main())
